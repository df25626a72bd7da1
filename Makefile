# The thin front of meson, ninja and npm: `make run` and `make test` are all a newcomer needs, on a
# fresh Debian 12 as root or with sudo. CONTRIBUTING.md says more.

DATA       ?= data
HTTP_PORT  ?= 8080
HTTPS_PORT ?= 8443
RUN_ARGS   ?=
PREFIX     ?= /usr/local
DESTDIR    ?=
FUZZ_SECONDS ?= 600

RELEASE := build/release
WEB_DIST := web/apps/admin/dist
WEB_SOURCES = $(shell [ -d web ] && find web -name node_modules -prune -o -name dist -prune -o -type f -print 2>/dev/null)

.PHONY: all run test bench fuzz check install uninstall clean format deps deps-test release web web-deps

all: release web

deps:
	@scripts/install-deps.sh build

deps-test:
	@scripts/install-deps.sh test

release: deps
	@[ -f $(RELEASE)/build.ninja ] || meson setup $(RELEASE) --buildtype=debugoptimized >$(or $(TMPDIR),/tmp)/aoide-meson.log 2>&1 || \
		{ tail -n 20 $(or $(TMPDIR),/tmp)/aoide-meson.log; exit 1; }
	@ninja -C $(RELEASE) -n aoide | grep -q 'no work' || echo "Building the program (a minute or two)"
	@out=$$(ninja -C $(RELEASE) aoide 2>&1) || { echo "$$out"; exit 1; }

# Stamps lie inside node_modules and dist: who removes those gets them again.
web-deps: deps $(if $(wildcard web/package.json),web/node_modules/.stamp)

web/node_modules/.stamp: web/package-lock.json | deps
	@echo "Installing the packages of the web pages"
	@cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web: web-deps $(if $(wildcard web/package.json),$(WEB_DIST)/.stamp)

$(WEB_DIST)/.stamp: web/node_modules/.stamp $(WEB_SOURCES)
	@echo "Building the web pages"
	@mkdir -p build; cd web && npm run --silent build >../build/web.log 2>&1 || { cat ../build/web.log; exit 1; }
	@touch $@

run: release web
	@exec $(RELEASE)/aoide run --demo --data "$(DATA)" --http-port $(HTTP_PORT) --https-port $(HTTPS_PORT) $(RUN_ARGS)

test: deps-test release web
	@scripts/test.sh

check: deps
	@scripts/check.py

fuzz: deps-test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

bench: deps-test release web
	@scripts/bench.sh

# Debian's path for units; an unprivileged user "aoide" is made by the unit itself (DynamicUser).
install: release web
	install -D -m 755 $(RELEASE)/aoide "$(DESTDIR)$(PREFIX)/bin/aoide"
	install -d "$(DESTDIR)$(PREFIX)/share/aoide/www" "$(DESTDIR)$(PREFIX)/share/aoide/moh"
	if [ -d $(WEB_DIST) ]; then cp -r $(WEB_DIST)/. "$(DESTDIR)$(PREFIX)/share/aoide/www/"; fi
	rm -f "$(DESTDIR)$(PREFIX)/share/aoide/www/.stamp"
	install -m 644 share/moh/*.wav "$(DESTDIR)$(PREFIX)/share/aoide/moh/"
	install -d "$(DESTDIR)$(PREFIX)/share/aoide/prompts"
	cp -r share/prompts/prompts.csv share/prompts/it share/prompts/us "$(DESTDIR)$(PREFIX)/share/aoide/prompts/"
	install -D -m 644 deploy/aoide.conf "$(DESTDIR)/etc/aoide/aoide.conf.example"
	[ -e "$(DESTDIR)/etc/aoide/aoide.conf" ] || install -m 644 deploy/aoide.conf "$(DESTDIR)/etc/aoide/aoide.conf"
	install -d "$(DESTDIR)/lib/systemd/system"
	sed 's|@PREFIX@|$(PREFIX)|g' deploy/aoide.service >"$(DESTDIR)/lib/systemd/system/aoide.service"

uninstall:
	rm -rf "$(DESTDIR)$(PREFIX)/bin/aoide" "$(DESTDIR)$(PREFIX)/share/aoide"
	rm -f "$(DESTDIR)/lib/systemd/system/aoide.service"

clean:
	rm -rf build web/node_modules web/apps/*/dist tests/e2e/node_modules

format:
	@git clang-format --extensions c,h

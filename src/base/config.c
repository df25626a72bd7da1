/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include "base/err.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE          4096u
#define MAX_FILE_LINES    10000u
#define MAX_MEDIA_THREADS 64u
#define MAX_WEB_WORKERS   256u
#define MAX_WEB_RATE      1000000u
#define MIN_RTP_PORTS     4u

enum key_type { KEY_TEXT, KEY_PORT, KEY_UNSIGNED, KEY_PORTS, KEY_BOOL };

/* Every key, in the order in which `aoide run --help` and the written file show them. */
static const struct config_key {
	const char *name;
	enum key_type type;
	size_t offset;
	unsigned min, max; /* KEY_PORT, KEY_UNSIGNED */
	const char *arg, *help;
} keys[] = {
#define AT(field) offsetof(struct config, field)
	{ "data", KEY_TEXT, AT(data_dir), 0, 0, "DIR",
	  "data folder: database, keys, certificate (default ./data; /var/lib/aoide for root)" },
	{ "database", KEY_TEXT, AT(database), 0, 0, "URL",
	  "\"sqlite\" (default: aoide.db in the data folder) or \"postgresql://user@host/name\"" },
	{ "listen", KEY_TEXT, AT(listen), 0, 0, "ADDRESS",
	  "address of all services (default 0.0.0.0; :: is IPv6 and IPv4)" },
	{ "advertise", KEY_TEXT, AT(advertise), 0, 0, "ADDRESS",
	  "address given to phones when listen is 0.0.0.0 (default: this machine's)" },
	{ "sip-port", KEY_PORT, AT(sip_port), 1, 65534, "N",
	  "SIP over UDP and TCP; TLS is the next one (default 5060)" },
	{ "ws-port", KEY_PORT, AT(ws_port), 0, 65535, "N", "SIP over WS (default 0: as the SIP settings say)" },
	{ "wss-port", KEY_PORT, AT(wss_port), 0, 65535, "N",
	  "SIP over WSS; 0 is off (default 8089: as the SIP settings say)" },
	{ "http-port", KEY_PORT, AT(http_port), 0, 65535, "N",
	  "redirects to HTTPS; 0 is off (default 8080; 80 for root)" },
	{ "https-port", KEY_PORT, AT(https_port), 1, 65535, "N",
	  "web pages and API (default 8443; 443 for root)" },
	{ "rtp-ports", KEY_PORTS, AT(rtp_first), 0, 0, "A-B",
	  "UDP ports of audio and video (default 10000-20000)" },
	{ "media-threads", KEY_UNSIGNED, AT(media_threads), 1, MAX_MEDIA_THREADS, "N",
	  "threads that relay media (default: one per core, at most 4)" },
	{ "web-workers", KEY_UNSIGNED, AT(web_workers), 1, MAX_WEB_WORKERS, "N",
	  "threads that answer the API (default 4)" },
	{ "web-rate", KEY_UNSIGNED, AT(web_rate), 0, MAX_WEB_RATE, "N",
	  "requests per second that one user may send; 0 is no limit (default 50)" },
	{ "www", KEY_TEXT, AT(www_dir), 0, 0, "DIR", "folder of the web pages" },
	{ "moh-file", KEY_TEXT, AT(moh_file), 0, 0, "FILE", "music on hold (WAV)" },
	{ "share", KEY_TEXT, AT(share_dir), 0, 0, "DIR", "folder of spoken prompts and music" },
	{ "log-level", KEY_TEXT, AT(log_level), 0, 0, "LEVELS",
	  "error, warn, info, debug; per module: \"info,sip=debug\" (default info)" },
	{ "demo", KEY_BOOL, AT(demo), 0, 0, NULL,
	  "make a tenant with five extensions and print how to reach it" },
#undef AT
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static int text_set(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;

	free(*field);
	*field = copy;
	return 0;
}

static int set_default_texts(struct config *config, bool is_root)
{
	int err;

	err = text_set(&config->data_dir, is_root ? "/var/lib/aoide" : "./data");
	if (err)
		return err;
	err = text_set(&config->database, "sqlite");
	if (err)
		return err;
	err = text_set(&config->listen, "0.0.0.0");
	if (err)
		return err;

	return text_set(&config->log_level, "info");
}

int config_alloc(struct config **ret)
{
	const bool is_root = geteuid() == 0;
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct config *config = calloc(1, sizeof(*config));
	int err;

	if (!config)
		return -ENOMEM;

	err = set_default_texts(config, is_root);
	if (err) {
		config_free(config);
		return err;
	}
	config->sip_port = 5060;
	config->wss_port = CONFIG_WSS_PORT;
	config->http_port = is_root ? 80 : 8080;
	config->https_port = is_root ? 443 : 8443;
	config->rtp_first = 10000;
	config->rtp_last = 20000;
	config->media_threads = cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
	config->web_workers = 4;
	config->web_rate = 50;

	*ret = config;
	return 0;
}

void config_free(struct config *config)
{
	if (!config)
		return;

	for (size_t i = 0; i < N_KEYS; i++) {
		if (keys[i].type == KEY_TEXT)
			free(*(char **)((char *)config + keys[i].offset));
	}
	free(config);
}

/* ------------------------------------------------------------------ one key */

static const struct config_key *key_find(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		size_t c = 0;

		/* data_dir or sip_port as in the struct are understood, too. */
		while (name[c] && (name[c] == '_' ? '-' : name[c]) == keys[i].name[c])
			c++;
		if (!name[c] && !keys[i].name[c])
			return &keys[i];
	}

	return NULL;
}

static int parse_number(unsigned *ret, const char *text, unsigned min, unsigned max)
{
	unsigned long value = 0;

	if (!*text || strlen(text) > 9)
		return -EINVAL;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*c - '0');
	}
	if (value < min || value > max)
		return -EINVAL;

	*ret = (unsigned)value;
	return 0;
}

static int parse_ports(struct config *config, const char *value)
{
	char first[16];
	const char *dash = strchr(value, '-');
	unsigned a, b;

	if (!dash || (size_t)(dash - value) >= sizeof(first))
		return -EINVAL;
	memcpy(first, value, (size_t)(dash - value));
	first[dash - value] = '\0';
	if (parse_number(&a, first, 1024, 65535) || parse_number(&b, dash + 1, 1024, 65535))
		return -EINVAL;
	/* RTP takes the even port, RTCP the odd one above (RFC 3550 section 11). */
	a += a & 1;
	if (b < a || b - a + 1 < MIN_RTP_PORTS)
		return -EINVAL;

	config->rtp_first = (uint16_t)a;
	config->rtp_last = (uint16_t)b;
	return 0;
}

static int parse_bool(bool *ret, const char *value)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "yes", true },	{ "true", true },   { "on", true },   { "1", true },
		      { "no", false },	{ "false", false }, { "off", false }, { "0", false } };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(value, words[i].word)) {
			*ret = words[i].value;
			return 0;
		}
	}

	return -EINVAL;
}

static int bad_value(char *text, size_t size, const struct config_key *key, const char *value)
{
	if (!text || !size)
		return -EINVAL;

	switch (key->type) {
	case KEY_TEXT:
		(void)snprintf(text, size, "%s: give %s", key->name, key->arg);
		break;
	case KEY_PORT:
	case KEY_UNSIGNED:
		(void)snprintf(text, size, "%s: \"%.40s\" is not a number from %u to %u", key->name,
			       value, key->min, key->max);
		break;
	case KEY_PORTS:
		(void)snprintf(text, size,
			       "%s: \"%.40s\" is not a range of ports like 10000-20000 (1024 to "
			       "65535, at least %u ports)",
			       key->name, value, MIN_RTP_PORTS);
		break;
	case KEY_BOOL:
		(void)snprintf(text, size, "%s: \"%.40s\" is neither yes nor no", key->name, value);
		break;
	}

	return -EINVAL;
}

static bool is_address(const char *value)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, value, buf) == 1 || inet_pton(AF_INET6, value, buf) == 1;
}

/* A name whose labels have letters, digits and hyphens. */
static bool is_host_name(const char *value)
{
	size_t label = 0;

	if (strlen(value) > 253)
		return false;
	for (; *value; value++) {
		if (*value == '.' && !label)
			return false;
		if (*value != '.' && *value != '-' && !isalnum((unsigned char)*value))
			return false;
		label = *value == '.' ? 0 : label + 1;
	}
	return label > 0;
}

static bool is_address_or_name(const char *value)
{
	return is_address(value) || is_host_name(value);
}

static bool is_database(const char *value)
{
	return !strstr(value, "://") || !strncmp(value, "postgresql://", 13) ||
	       !strncmp(value, "postgres://", 11);
}

static bool exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

/* What is wrong with the text of a key is told at once, not found out by whom it misleads. */
static bool text_fits(const struct config *config, const void *field, const char *value,
		      char *err_text, size_t err_size)
{
	const struct {
		const void *field;
		bool (*fits)(const char *value);
		const char *name, *remedy;
	} checks[] = {
		{ &config->database, is_database, "database",
		  "is of no known kind; write sqlite or postgresql://user@host/name" },
		{ &config->listen, is_address, "listen",
		  "is not an IP address of this machine; 0.0.0.0 means all of them" },
		{ &config->advertise, is_address_or_name, "advertise",
		  "is neither an IP address nor a name; give the address at which phones reach this machine" },
		{ &config->www_dir, exists, "www", "does not exist; give the folder of the web pages" },
		{ &config->moh_file, exists, "moh-file", "does not exist; give a WAV" },
		{ &config->share_dir, exists, "share",
		  "does not exist; give the folder of prompts and music" },
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (field != checks[i].field || checks[i].fits(value))
			continue;
		if (err_text && err_size)
			(void)snprintf(err_text, err_size, "%s: \"%.60s\" %s", checks[i].name, value,
				       checks[i].remedy);
		return false;
	}
	return true;
}

int config_set(struct config *config, const char *key_name, const char *value, char *err_text,
	       size_t err_size)
{
	const struct config_key *key = key_find(key_name);
	unsigned number;
	void *field;
	int err = 0;

	if (!key) {
		if (err_text && err_size)
			(void)snprintf(err_text, err_size,
				       "\"%.60s\" is not a known key; `aoide run --help` lists them",
				       key_name);
		return -EINVAL;
	}

	field = (char *)config + key->offset;
	if (!value)
		value = key->type == KEY_BOOL ? "yes" : "";

	switch (key->type) {
	case KEY_TEXT:
		if (!*value)
			return bad_value(err_text, err_size, key, value);
		if (!text_fits(config, field, value, err_text, err_size))
			return -EINVAL;
		err = text_set(field, value);
		break;
	case KEY_PORT:
		if (parse_number(&number, value, key->min, key->max))
			return bad_value(err_text, err_size, key, value);
		*(uint16_t *)field = (uint16_t)number;
		break;
	case KEY_UNSIGNED:
		if (parse_number(&number, value, key->min, key->max))
			return bad_value(err_text, err_size, key, value);
		*(unsigned *)field = number;
		break;
	case KEY_PORTS:
		if (parse_ports(config, value))
			return bad_value(err_text, err_size, key, value);
		break;
	case KEY_BOOL:
		if (parse_bool(field, value))
			return bad_value(err_text, err_size, key, value);
		break;
	}

	return err;
}

bool config_is_flag(const char *key_name)
{
	const struct config_key *key = key_find(key_name);

	return key && key->type == KEY_BOOL;
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < N_KEYS; i++)
		(void)fprintf(out, "  --%s%s%-*s %s\n", keys[i].name, keys[i].arg ? " " : "",
			      (int)(22 - strlen(keys[i].name) - (keys[i].arg ? 1 : 0)),
			      keys[i].arg ? keys[i].arg : "", keys[i].help);
}

/* ------------------------------------------------------------------ the file */

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && strchr(" \t\r\n", end[-1]))
		*--end = '\0';
	while (*text == ' ' || *text == '\t')
		text++;

	return text;
}

/* "key = value", "key = "value with # or blanks"", empty, or a comment. */
static int parse_line(struct config *config, char *line, char *err_text, size_t err_size)
{
	char *key = trim(line), *value;
	size_t len;

	if (!*key || *key == '#')
		return 0;

	value = strchr(key, '=');
	if (!value) {
		(void)snprintf(err_text, err_size, "write \"key = value\"");
		return -EINVAL;
	}
	*value++ = '\0';
	key = trim(key);
	value = trim(value);

	len = strlen(value);
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') {
		value[len - 1] = '\0';
		value++;
	} else if (*value == '#') {
		*value = '\0';
	} else {
		for (char *c = value; *c; c++) {
			if (*c == '#' && (c[-1] == ' ' || c[-1] == '\t')) {
				*c = '\0';
				value = trim(value);
				break;
			}
		}
	}

	return config_set(config, key, value, err_text, err_size);
}

int config_read_stream(struct config *config, FILE *file, const char *path, char *err_text,
		       size_t err_size)
{
	char line[MAX_LINE], why[200] = "";
	unsigned n = 0;
	int err = 0;

	while (!err && fgets(line, sizeof(line), file)) {
		const size_t len = strlen(line);

		if (++n > MAX_FILE_LINES) {
			(void)snprintf(why, sizeof(why), "more than %u lines", MAX_FILE_LINES);
			err = -EINVAL;
		} else if (len + 1 == sizeof(line) && line[len - 1] != '\n') {
			(void)snprintf(why, sizeof(why), "the line is longer than %u characters",
				       MAX_LINE - 2);
			err = -EINVAL;
		} else {
			err = parse_line(config, line, why, sizeof(why));
		}
	}
	if (!err && ferror(file)) {
		(void)snprintf(why, sizeof(why), "the file cannot be read");
		err = -EIO;
	}
	if (err && err_text && err_size && !n)
		(void)snprintf(err_text, err_size, "%s: %s", path, why);
	else if (err && err_text && err_size)
		(void)snprintf(err_text, err_size, "%s, line %u: %s", path, n, why);

	return err;
}

int config_read(struct config *config, const char *path, char *err_text, size_t err_size)
{
	FILE *file = fopen(path, "re");
	int err;

	if (!file) {
		err = -errno;
		if (err_text && err_size)
			(void)snprintf(err_text, err_size, "%s: %s", path, strerrordesc_np(-err));
		return err;
	}

	err = config_read_stream(config, file, path, err_text, err_size);
	(void)fclose(file);
	return err;
}

static void write_key(FILE *file, const struct config *config, const struct config_key *key)
{
	const void *field = (const char *)config + key->offset;

	switch (key->type) {
	case KEY_TEXT:
		if (*(char *const *)field)
			(void)fprintf(file, "%s = \"%s\"\n", key->name, *(char *const *)field);
		break;
	case KEY_PORT:
		(void)fprintf(file, "%s = %u\n", key->name, *(const uint16_t *)field);
		break;
	case KEY_UNSIGNED:
		(void)fprintf(file, "%s = %u\n", key->name, *(const unsigned *)field);
		break;
	case KEY_PORTS:
		(void)fprintf(file, "%s = %u-%u\n", key->name, config->rtp_first, config->rtp_last);
		break;
	case KEY_BOOL:
		(void)fprintf(file, "%s = %s\n", key->name, *(const bool *)field ? "yes" : "no");
		break;
	}
}

int config_write(const struct config *config, const char *path)
{
	char tmp[PATH_MAX];
	FILE *file;
	int fd, err = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = mkostemp(tmp, O_CLOEXEC); /* 0600: the database URL may hold a password */
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		err = -errno;
		(void)close(fd);
		goto out;
	}

	(void)fputs("# Made by `aoide run` for the processes it starts; changes here are lost.\n",
		    file);
	for (size_t i = 0; i < N_KEYS; i++)
		write_key(file, config, &keys[i]);
	if (fflush(file))
		err = -errno;
	else if (ferror(file))
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(tmp, path))
		err = -errno;

out:
	if (err)
		(void)unlink(tmp);
	return err;
}

/* ------------------------------------------------------------------ what is found, not given */

static bool is_wildcard(const char *address)
{
	return !strcmp(address, "0.0.0.0") || !strcmp(address, "::");
}

/* The address that the default route uses: connecting a UDP socket asks the kernel and sends
 * nothing. The destination is documentation address space (RFC 5737, RFC 3849). */
static bool routed_address(char *buf, size_t size, int family)
{
	struct sockaddr_storage ss = { .ss_family = (sa_family_t)family };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;
	socklen_t len = sizeof(ss);
	bool found = false;
	int fd;

	if (family == AF_INET) {
		(void)inet_pton(AF_INET, "192.0.2.1", &in->sin_addr);
		in->sin_port = htons(9);
	} else {
		(void)inet_pton(AF_INET6, "2001:db8::1", &in6->sin6_addr);
		in6->sin6_port = htons(9);
	}

	fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (!connect(fd, (struct sockaddr *)&ss, sizeof(ss)) &&
	    !getsockname(fd, (struct sockaddr *)&ss, &len))
		found = inet_ntop(family,
				  family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr,
				  buf, (socklen_t)size) != NULL;
	(void)close(fd);

	return found;
}

/* Without a default route: the first interface that is up and not the loopback. */
static bool interface_address(char *buf, size_t size)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list))
		return false;
	for (i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
			continue;
		found = inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, buf,
				  (socklen_t)size) != NULL;
	}
	freeifaddrs(list);

	return found;
}

static int find_advertise(struct config *config)
{
	char buf[INET6_ADDRSTRLEN] = "127.0.0.1";

	if (config->advertise)
		return 0;
	if (!is_wildcard(config->listen))
		return text_set(&config->advertise, config->listen);

	if (!routed_address(buf, sizeof(buf), AF_INET) && !interface_address(buf, sizeof(buf)) &&
	    !(strchr(config->listen, ':') && routed_address(buf, sizeof(buf), AF_INET6)))
		(void)snprintf(buf, sizeof(buf), "127.0.0.1");

	return text_set(&config->advertise, buf);
}

/* The first of a list of places, relative to the folder of the binary, that exists. */
static int find_place(char **field, const char *const *places, size_t n)
{
	char exe[PATH_MAX], path[PATH_MAX * 2];
	struct stat st;
	ssize_t len;
	char *slash;

	if (*field)
		return 0;
	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len <= 0)
		return -ENOENT;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	*slash = '\0';

	for (size_t i = 0; i < n; i++) {
		char *clean;
		int err;

		(void)snprintf(path, sizeof(path), "%s/%s", exe, places[i]);
		if (stat(path, &st))
			continue;
		clean = realpath(path, NULL);
		if (!clean)
			continue;
		err = text_set(field, clean);
		free(clean);
		return err;
	}

	return -ENOENT;
}

int config_finish(struct config *config)
{
	/* In the source tree (build/<kind>/aoide), then installed (bin/aoide). */
	static const char *const www[] = { "../../web/apps/admin/dist", "../share/aoide/www" };
	static const char *const moh[] = { "../../share/moh/default.wav",
					   "../share/aoide/moh/default.wav" };
	static const char *const share[] = { "../../share", "../share/aoide" };
	char *absolute;
	int err;

	err = find_advertise(config);
	if (err)
		return err;

	/* All may be missing: the web process then says so, hold and prompts are silent. */
	err = find_place(&config->www_dir, www, sizeof(www) / sizeof(www[0]));
	if (err && err != -ENOENT)
		return err;
	err = find_place(&config->moh_file, moh, sizeof(moh) / sizeof(moh[0]));
	if (err && err != -ENOENT)
		return err;
	err = find_place(&config->share_dir, share, sizeof(share) / sizeof(share[0]));
	if (err && err != -ENOENT)
		return err;

	/* The children may run elsewhere; a folder that does not exist yet stays as given. */
	absolute = realpath(config->data_dir, NULL);
	if (absolute) {
		free(config->data_dir);
		config->data_dir = absolute;
	}

	return 0;
}

const char *config_db_url(char *buf, size_t size, const struct config *config)
{
	if (!strcmp(config->database, "sqlite"))
		return config_path(buf, size, config, CONFIG_DB_FILE);

	(void)snprintf(buf, size, "%s", config->database);
	return buf;
}

const char *config_path(char *buf, size_t size, const struct config *config, const char *name)
{
	(void)snprintf(buf, size, "%s/%s", config->data_dir, name);
	return buf;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/switch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/seal.h"
#include "base/timer.h"
#include "bus/bus.h"
#include "call/call_record.h"
#include "call/cdr.h"
#include "call/engine.h"
#include "call/journal.h"
#include "call/record.h"
#include "db/db.h"
#include "db/writer.h"
#include "media/client.h"
#include "media/vault.h"
#include "services/route.h"
#include "sip/edge.h"
#include "sip/inv.h"
#include "sip/registrar.h"
#include "snapshot/snapshot.h"
#include "switch/commands.h"
#include "switch/loader.h"
#include "switch/music.h"
#include "switch/registration.h"

#define LISTEN_RETRY_MS 10000
#define DRAIN_MS       3000 /* what BYEs get before the process ends */
#define WRITER_STOP_MS 5000
#define WRITER_BATCH_MS 50 /* a disk flush for many calls; the open calls are journalled meanwhile */
#define DB_RETRY_S     2
#define MAX_FDS        65536
#define REST_US        25000 /* at most, between two turns of a busy loop (decision 0117) */

struct sw {
	const struct config *config;
	char db_url[1024];
	struct snap *snap;
	struct loader *loader;
	struct writer *writer;
	struct call_journal *journal;
	struct media *media;
	struct edge *edge;
	struct engine *engine;
	struct bus *bus;
	struct commands *commands;
	struct tmr drain, listen;
	uint64_t drain_until_ms;
	bool is_ready;
	bool has_recording_key;
	uint8_t recording_key[VAULT_KEY_BYTES];
};

/* ------------------------------------------------------------------ what the parts ask of us */

/* What is known about a recording, as a file beside it. The writer's thread. */
static int recording_apply(struct sw *sw, const void *data, size_t len)
{
	static const char phone[] = CONFIG_PHONE_DIR "/";
	char folder[512];
	int err = recording_writer_apply(config_path(folder, sizeof(folder), sw->config,
						     CONFIG_RECORDINGS_DIR),
					 data, len);

	/* There is a new audio file; jobs that do not hear it look for themselves. */
	if (!err && len > sizeof(phone) && !memcmp(data, phone, sizeof(phone) - 1))
		(void)bus_publish(sw->bus, "sys.audio.recorded", json_object());
	return err;
}

static int apply_record(struct db *db, uint32_t kind, const void *data, size_t len, void *arg)
{
	if (kind == CDR_RECORD)
		return cdr_writer_apply(db, kind, data, len);
	if (kind == RECORDING_RECORD)
		return recording_apply(arg, data, len);
	if (kind >= REG_RECORD_FIRST && kind <= REG_RECORD_LAST)
		return reg_writer_apply(db, kind, data, len);

	return -EINVAL;
}

static void listen_h(void *arg);

/*
 * PLT-36: the SIP settings say where transports listen, and open and close WebSockets unless a port was
 * given at the start. An address that is not there (an interface that comes up late) is waited for.
 */
static int set_listeners(struct sw *sw)
{
	const struct config *config = sw->config;
	const struct snap_sip *set = snap_sip(sw->snap);
	uint16_t ws = set->transport_enabled[SNAP_WS] ? set->ws_port : 0;
	uint16_t wss = set->transport_enabled[SNAP_WSS] ? set->wss_port : 0;
	int err;

	if (config->ws_port)
		ws = config->ws_port;
	if (config->wss_port != CONFIG_WSS_PORT)
		wss = config->wss_port;

	tmr_cancel(&sw->listen);
	err = edge_set_listeners(sw->edge, (const struct edge_listener[SNAP_TRANSPORTS]){
		[SNAP_UDP] = { config->sip_port, set->bind[SNAP_UDP] },
		[SNAP_TCP] = { config->sip_port, set->bind[SNAP_TCP] },
		[SNAP_TLS] = { (uint16_t)(config->sip_port + 1), set->bind[SNAP_TLS] },
		[SNAP_WS] = { ws, set->bind[SNAP_WS] },
		[SNAP_WSS] = { wss, set->bind[SNAP_WSS] },
	}, set->transport_enabled[SNAP_WSS]);
	if (err == -EAGAIN)
		tmr_start(&sw->listen, LISTEN_RETRY_MS, listen_h, sw);

	return err == -EAGAIN ? 0 : err;
}

static void listen_h(void *arg)
{
	(void)set_listeners(arg); /* logged */
}

static void on_loaded(struct loader_done *done, void *arg)
{
	struct sw *sw = arg;
	json_t *answer = NULL;
	uint64_t took_ms = clk_mono_ms() - done->started_ms;
	int64_t revision = done->tenant ? done->tenant->revision : 0;
	int err = done->err;

	if (!err && done->sip) {
		snap_swap_sip(sw->snap, done->sip, done->arena);
		if (sw->edge)
			(void)set_listeners(sw); /* logged; all else is in force */
		if (sw->edge)
			(void)edge_set_outside(sw->edge); /* out of memory: as it was before */
	}
	if (!err && done->tenant_id) {
		if (sw->media && media_is_up(sw->media))
			music_tell_change(sw->media, snap_tenant_find(sw->snap, done->tenant_id),
					  done->tenant);
		err = snap_swap(sw->snap, done->tenant_id, done->tenant);
		reg_snapshot_changed(edge_registrar(sw->edge), done->tenant_id);
		if (!err)
			answer = json_pack("{s:I, s:I}", "revision", (json_int_t)revision, "took_ms",
					   (json_int_t)took_ms);
	}

	if (err)
		log_error("switch.apply_failed", "the new configuration is not in force",
			  kv_int("tenant", done->tenant_id), kv_err(err));
	else
		log_info("switch.applied", "new configuration in force",
			 kv_int("tenant", done->tenant_id), kv_int("revision", revision),
			 kv_int("ms", took_ms));

	if (done->reply)
		bus_reply(done->reply, err, answer ? answer : json_object());
	else
		json_decref(answer);
	free(done);
}

static void on_registration(const struct reg_contact *contact, const char *what, void *arg)
{
	struct sw *sw = arg;

	registration_publish(sw->bus, sw->snap, contact, what);
}

static void on_edge_event(const char *subject, int64_t tenant_id, const char *json, void *arg)
{
	struct sw *sw = arg;
	char full[128];

	if (!sw->bus)
		return;

	if (tenant_id)
		(void)snprintf(full, sizeof(full), "t.%lld.%s", (long long)tenant_id, subject);
	else
		(void)snprintf(full, sizeof(full), "sys.%s", subject);
	(void)bus_publish_text(sw->bus, full, json, strlen(json));
}

static void on_invite(const struct sip_msg *msg, const struct snap_account *account, void *arg)
{
	struct sw *sw = arg;

	engine_invite(msg, account, sw->engine);
}

static void tell_ready(struct sw *sw)
{
	if (sw->is_ready || !sw->bus || !media_is_up(sw->media))
		return;

	sw->is_ready = true;
	(void)bus_process_ready(sw->bus, "switch");
	log_info("switch.ready", "calls can be made");
}

static void on_media(bool up, void *arg)
{
	struct sw *sw = arg;

	if (up) {
		music_tell_all(sw->media, sw->snap);
		tell_ready(sw);
	} else {
		log_warn("switch.media_lost", "no media process; new calls are refused until it is back");
		if (sw->engine)
			recording_media_lost(sw->engine);
	}
}

/* ------------------------------------------------------------------ start */

/* A database that is not there yet is waited for: phones cannot register without it anyway. */
static int open_database(struct sw *sw, struct db **ret)
{
	char text[256];
	int err;

	for (;;) {
		err = db_open(ret, sw->db_url, text, sizeof(text));
		if (!err)
			return 0;

		log_error("switch.no_database", "cannot open the database; trying again",
			  kv_text("why", text), kv_err(err));
		(void)sleep(DB_RETRY_S);
	}
}

/* Calls go on without it: only what is to be encrypted is then not recorded. */
static void load_recording_key(struct sw *sw)
{
	int err = vault_key_load(sw->recording_key, sw->config->data_dir);

	sw->has_recording_key = !err;
	if (err)
		log_error("switch.recording_key",
			  "recordings cannot be encrypted: recordings.key does not belong to this machine's key",
			  kv_err(err));
}

static int start_storage(struct sw *sw)
{
	char dir[512];
	struct db *db = NULL;
	int err;

	err = open_database(sw, &db);
	if (err)
		return err;

	err = reg_migrate(db);
	if (!err)
		err = cdr_migrate(db);
	db_close(db);
	if (err)
		return err;

	return writer_start(&sw->writer, &(struct writer_opts){
		.journal_dir = config_path(dir, sizeof(dir), sw->config, CONFIG_JOURNAL_DIR),
		.name = "switch",
		.batch_ms = WRITER_BATCH_MS,
		.db_url = sw->db_url,
		.apply_h = apply_record,
		.arg = sw,
	});
}

static int start_snapshot(struct sw *sw)
{
	int err;

	err = snap_alloc(&sw->snap);
	if (err)
		return err;

	return loader_start(&sw->loader, sw->db_url,
			    &(struct snap_dirs){ sw->config->data_dir, sw->config->share_dir },
			    sw->snap, on_loaded, sw);
}

/* Tells the web server where browsers' WebSockets go on, and the word that it is let in by. */
static int publish_proxy(const struct sw *sw, const char *secret)
{
	char path[512], temp[540];
	FILE *file;
	int fd, err = 0;

	config_path(path, sizeof(path), sw->config, CONFIG_WS_SIP);
	(void)re_snprintf(temp, sizeof(temp), "%s.new", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	if (fprintf(file, "%u %s\n", edge_proxy_port(sw->edge), secret) < 0)
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	if (!err && rename(temp, path))
		err = -errno;

	return err;
}

static bool is_bound(const struct snap_sip *set, enum snap_transport tp)
{
	return set->bind[tp] && set->bind[tp][0];
}

static int start_edge(struct sw *sw)
{
	const struct config *config = sw->config;
	const struct snap_sip *set = snap_sip(sw->snap);
	char cert[512], secret[33];
	struct db *db = NULL;
	int err;

	/* What is bound to an address of its own is opened by set_listeners(). */
	seal_random_hex(secret, sizeof(secret));
	err = edge_alloc(&sw->edge, &(struct edge_opts){
		.listen = config->listen,
		.advertise = config->advertise,
		.udp_port = is_bound(set, SNAP_UDP) ? 0 : config->sip_port,
		.tcp_port = is_bound(set, SNAP_TCP) ? 0 : config->sip_port,
		.tls_port = is_bound(set, SNAP_TLS) ? 0 : (uint16_t)(config->sip_port + 1),
		.proxy_secret = secret,
		.proxy_port = config->https_port,
		.cert_path = config_path(cert, sizeof(cert), config, CONFIG_TLS_CERT),
		.snap = sw->snap,
		.writer = sw->writer,
		.invite_h = on_invite,
		.event_h = on_edge_event,
		.arg = sw,
	});
	if (!err)
		err = set_listeners(sw);
	if (!err)
		err = publish_proxy(sw, secret);
	if (err)
		return err;

	reg_set_change_handler(edge_registrar(sw->edge), on_registration, sw);

	err = open_database(sw, &db);
	if (!err)
		err = reg_load(edge_registrar(sw->edge), db);
	db_close(db);
	return err;
}

/* Calls of a process that was killed are ended before new ones come in. */
struct left_call {
	struct le le;
	uint64_t call_id;
	size_t len;
	uint8_t data[];
};

static void keep_left_call(uint64_t call_id, const void *data, size_t len, void *arg)
{
	struct list *left = arg;
	struct left_call *call = mem_zalloc(sizeof(*call) + len, NULL);

	if (!call)
		return;

	call->call_id = call_id;
	call->len = len;
	memcpy(call->data, data, len);
	list_append(left, &call->le, call);
}

static int inherited_memory(void)
{
	const char *text = getenv(SWITCH_OPEN_CALLS_FD);
	int fd = text ? atoi(text) : -1;

	if (fd <= STDERR_FILENO)
		return -1;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);

	return fd;
}

static int start_engine(struct sw *sw)
{
	char path[512], dir[512];
	struct list left = LIST_INIT;
	int err;

	err = media_connect(&sw->media,
			    config_path(path, sizeof(path), sw->config, CONFIG_MEDIA_SOCKET), on_media,
			    sw);
	if (!err)
		err = call_journal_open(&sw->journal,
					config_path(dir, sizeof(dir), sw->config, CONFIG_JOURNAL_DIR),
					inherited_memory(), keep_left_call, &left);
	if (err)
		goto out;

	err = engine_alloc(&sw->engine, &(struct engine_opts){
		.edge = sw->edge,
		.media = sw->media,
		.snap = sw->snap,
		.writer = sw->writer,
		.journal = sw->journal,
		.bus = sw->bus,
		.recording_key = sw->has_recording_key ? sw->recording_key : NULL,
		.route_h = route_run,
		.arg = sw,
	});
	if (err)
		goto out;

	media_on_recorded(sw->media, recording_event, sw->engine);
	while (left.head) {
		struct left_call *call = left.head->data;

		list_unlink(&call->le);
		call_record_recover(call->call_id, call->data, call->len, sw->engine);
		mem_deref(call);
	}

out:
	list_flush(&left);
	return err;
}

static int start_bus(struct sw *sw)
{
	char path[512];

	return bus_connect(&sw->bus,
			   config_path(path, sizeof(path), sw->config, CONFIG_BUS_SOCKET), "switch");
}

/* ------------------------------------------------------------------ end */

static void drain_h(void *arg)
{
	struct sw *sw = arg;

	if (sw->engine->n_calls && clk_mono_ms() < sw->drain_until_ms) {
		tmr_start(&sw->drain, 50, drain_h, sw);
		return;
	}

	re_cancel();
}

static struct sw *signalled; /* libre's signal handler has no argument */

static void signal_h(int sig)
{
	struct sw *sw = signalled;

	if (sw->engine->draining)
		return;

	log_info("switch.stopping", "ending all calls", kv_int("signal", sig),
		 kv_int("calls", sw->engine->n_calls));
	engine_hangup_all(sw->engine);
	sw->drain_until_ms = clk_mono_ms() + DRAIN_MS;
	/* Also without calls the last responses get a moment. */
	tmr_start(&sw->drain, 200, drain_h, sw);
}

/* The loop has ended, so this thread may wait: until the last CDRs are on the disk. */
static void settle_cdrs(struct sw *sw)
{
	uint64_t until_ms = clk_mono_ms() + WRITER_STOP_MS;

	if (!sw->engine)
		return;

	call_record_sweep(sw->engine);
	while (sw->engine->unsafe_cdrs.head && clk_mono_ms() < until_ms) {
		(void)usleep(1000);
		call_record_sweep(sw->engine);
	}
}

static void stop(struct sw *sw)
{
	tmr_cancel(&sw->drain);
	tmr_cancel(&sw->listen);
	loader_stop(sw->loader);
	bus_close(sw->bus);
	commands_stop(sw->commands);
	if (sw->edge)
		inv_close(sw->edge);
	edge_close(sw->edge);
	settle_cdrs(sw);
	writer_stop(sw->writer, WRITER_STOP_MS);
	call_journal_close(sw->journal);
	engine_free(sw->engine);
	mem_deref(sw->media);
	snap_free(sw->snap);
}

int switch_main(const struct config *config)
{
	struct sw sw = { .config = config };
	char path[512];
	int err;

	(void)log_start("switch");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* "reload" shall end no call */
	str_ncpy(sw.db_url,
		 strcmp(config->database, "sqlite") ?
			 config->database :
			 config_path(path, sizeof(path), config, CONFIG_DB_FILE),
		 sizeof(sw.db_url));
	tmr_init(&sw.drain);
	tmr_init(&sw.listen);

	err = err_from_re(libre_init());
	if (err)
		return err;
	(void)fd_setsize(MAX_FDS);
	if (timer_selfcheck())
		(void)timer_wait_by_fd(true); /* else it costs more and works as well */
	timer_set_rest(REST_US);

	err = fiber_init();
	if (!err)
		err = seal_init(config->data_dir);
	if (!err)
		load_recording_key(&sw);
	if (!err)
		err = start_storage(&sw);
	if (!err)
		err = start_snapshot(&sw);
	if (!err)
		err = start_bus(&sw);
	if (!err)
		err = start_edge(&sw);
	if (!err)
		err = start_engine(&sw);
	if (!err)
		err = commands_start(&sw.commands, sw.bus, sw.engine, sw.loader);

	if (!err) {
		signalled = &sw;
		tell_ready(&sw);
		err = err_from_re(re_main(signal_h));
		signalled = NULL;
	} else {
		log_error("switch.start_failed", "the switch cannot start", kv_err(err));
	}

	stop(&sw);
	fiber_close();
	timer_set_rest(0);
	(void)timer_wait_by_fd(false);
	libre_close();
	log_stop();
	return err;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "call/call_play.h"
#include "call/call_record.h"
#include "call/call_room.h"
#include "call/engine.h"
#include "call/journal.h"
#include "call/live.h"
#include "db/writer.h"
#include "services/spy.h"
#include "services/studio.h"
#include "sip/edge.h"
#include "sip/registrar.h"
#include "sip/udp_out.h"
#include "snapshot/snapshot.h"
#include "switch/loader.h"
#include "switch/registration.h"

#define PLAY_MAX_TEXT 4096

struct commands {
	struct engine *engine;
	struct loader *loader;
	struct mqueue *queue;
	uint64_t started_ms;
};

struct request { /* on its way from the bus thread to the call thread */
	const struct command *command;
	json_t *data;
	struct bus_reply *reply;
};

/* Answers into *ret (new reference) in the call thread. */
typedef int(command_h)(struct commands *commands, const json_t *data, json_t **ret);

struct command {
	const char *subject;
	command_h *run_h;
};

/* ------------------------------------------------------------------ answers */

static int64_t rss_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}

	return (int64_t)pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static double cpu_s(void)
{
	struct rusage use;

	(void)getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static json_t *journal_status(const struct engine *engine)
{
	struct writer_stats w = { 0 };
	struct call_journal_stats j = { 0 };

	if (engine->o.writer)
		writer_stats(engine->o.writer, &w);
	if (engine->o.journal)
		call_journal_stats(engine->o.journal, &j);

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "posted", (json_int_t)w.posted,
			 "acked", (json_int_t)w.acked, "applied", (json_int_t)w.applied, "dropped",
			 (json_int_t)w.dropped, "dead", (json_int_t)w.dead, "bytes",
			 (json_int_t)w.journal_bytes, "call_puts", (json_int_t)j.puts,
			 "call_dropped", (json_int_t)j.dropped);
}

static int run_status(struct commands *commands, const json_t *data, json_t **ret)
{
	const struct engine *engine = commands->engine;
	struct edge_stats edge = { 0 };
	struct fiber_stats fibers = { 0 };
	struct snap_stats snap = { 0 };

	edge_stats(engine->o.edge, &edge);
	fiber_stats(&fibers);
	snap_stats(engine->o.snap, &snap);

	*ret = json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:o, s:{s:I, s:I, s:I, s:I, s:I,"
		" s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:s}}",
		"version", AOIDE_VERSION, "uptime_s",
		(json_int_t)((clk_mono_ms() - commands->started_ms) / 1000), "calls",
		(json_int_t)engine->n_calls, "calls_total", (json_int_t)engine->calls_total,
		"registrations", (json_int_t)reg_count(edge_registrar(engine->o.edge)), "tenants",
		(json_int_t)snap.tenants, "accounts", (json_int_t)snap.accounts, "extensions",
		(json_int_t)snap.extensions, "cpu_s", cpu_s(), "rss_kb", (json_int_t)rss_kb(),
		"journal", journal_status(engine), "edge", "requests", (json_int_t)edge.requests,
		"responses", (json_int_t)edge.responses, "malformed", (json_int_t)edge.malformed,
		"auth_failed", (json_int_t)edge.auth_failed, "refused", (json_int_t)edge.refused,
		"rate_limited", (json_int_t)edge.rate_limited, "connections",
		(json_int_t)edge.tcp_connections, "not_sent", (json_int_t)udp_out_lost(), "fibers",
		"live", (json_int_t)fibers.live, "peak", (json_int_t)fibers.peak, "deepest_bytes",
		(json_int_t)fibers.deepest_bytes, "deepest", fibers.deepest_name ? fibers.deepest_name : "");

	return *ret ? 0 : -ENOMEM;
}

struct listing {
	const struct snap *snap;
	int64_t tenant_id, offset, total;
	json_t *items;
};

static bool list_contact(const struct reg_contact *contact, void *arg)
{
	struct listing *listing = arg;

	if (listing->tenant_id && contact->tenant_id != listing->tenant_id)
		return false;

	if (listing->total++ >= listing->offset &&
	    json_array_size(listing->items) < COMMANDS_MAX_ITEMS)
		(void)json_array_append_new(listing->items,
					    registration_json(listing->snap, contact));

	return false;
}

static int run_registrations(struct commands *commands, const json_t *data, json_t **ret)
{
	struct listing listing = {
		.snap = commands->engine->o.snap,
		.tenant_id = js_int(data, "tenant_id", 0),
		.offset = js_int(data, "offset", 0),
		.items = json_array(),
	};

	reg_apply(edge_registrar(commands->engine->o.edge), list_contact, &listing);

	*ret = json_pack("{s:o, s:I}", "items", listing.items, "total", (json_int_t)listing.total);
	return *ret ? 0 : -ENOMEM;
}

static int run_calls(struct commands *commands, const json_t *data, json_t **ret)
{
	const struct live_query query = {
		.tenant_id = js_int(data, "tenant_id", 0),
		.linkedid = js_str(data, "linkedid", NULL),
		.offset = js_int(data, "offset", 0),
		.max = COMMANDS_MAX_ITEMS,
	};
	int64_t total;
	json_t *items = live_calls(commands->engine, &query, &total);

	*ret = json_pack("{s:o, s:I}", "items", items, "total", (json_int_t)total);
	return *ret ? 0 : -ENOMEM;
}

/* New connections over TLS and WSS get what is in the file now. */
static int run_certificate(struct commands *commands, const json_t *data, json_t **ret)
{
	(void)data;
	*ret = json_object();
	return edge_reload_cert(commands->engine->o.edge, NULL);
}

static int run_hangup(struct commands *commands, const json_t *data, json_t **ret)
{
	int64_t tenant_id = js_int(data, "tenant_id", 0);
	struct call *call;

	call = engine_call_find(commands->engine, js_str(data, "linkedid", ""));
	if (!call || (tenant_id && call->tenant->id != tenant_id))
		return -ENOENT;

	call_hangup(call);
	*ret = json_object();
	return 0;
}

/* Plays to a leg of a call, whatever it does; without sounds what an operator plays there ends. */
static int run_play(struct commands *commands, const json_t *data, json_t **ret)
{
	int64_t tenant_id = js_int(data, "tenant_id", 0);
	const char *leg = js_str(data, "leg", "a"), *sounds = js_str(data, "sounds", "");
	struct call *call;
	int err;

	call = engine_call_find(commands->engine, js_str(data, "linkedid", ""));
	if (!call || (tenant_id && call->tenant->id != tenant_id))
		return -ENOENT;
	if ((strcmp(leg, "a") && strcmp(leg, "b")) || strlen(sounds) > PLAY_MAX_TEXT)
		return -EINVAL;

	err = call_post_play(call, *leg == 'b', sounds, false);
	if (!err)
		*ret = json_object();
	return err;
}

static struct call *call_of(const struct commands *commands, const json_t *data)
{
	int64_t tenant_id = js_int(data, "tenant_id", 0);
	struct call *call = engine_call_find(commands->engine, js_str(data, "linkedid", ""));

	return call && (!tenant_id || call->tenant->id == tenant_id) ? call : NULL;
}

/* ------------------------------------------------------------------ recordings, rooms */

static int record_start(struct call *call, const json_t *data, struct recording **ret)
{
	if (recording_of(call))
		return -EINUSE;
	if (!call->a || call->state < CALL_ANSWERED)
		return -ENOTCONN;

	return recording_start(ret, call, call->a, &(struct record_opts){
		.direction = js_bool(data, "mono", false) ? RECORD_MIXED : RECORD_STEREO,
		.opus = js_bool(data, "opus", false),
		.encrypt = js_bool(data, "encrypt", false),
		.metadata = true,
		.type = RECORD_ON_DEMAND,
		.destination = RECORD_TO_EXTENSION,
		.owner = call_caller_number(call),
		.destination_name = call->called_name });
}

/* On request, of both sides; the file is told. */
static int run_record(struct commands *commands, const json_t *data, json_t **ret)
{
	const char *verb = js_str(data, "verb", "");
	struct call *call = call_of(commands, data);
	struct recording *rec;
	int err = 0;

	if (!call)
		return -ENOENT;

	rec = mem_ref(recording_of(call));
	if (!strcmp(verb, "start")) {
		rec = mem_deref(rec);
		err = record_start(call, data, &rec);
	} else if (!rec) {
		err = -ENODATA; /* nothing is recorded */
	} else if (!strcmp(verb, "pause") || !strcmp(verb, "resume")) {
		recording_pause(rec, *verb == 'p');
	} else if (!strcmp(verb, "stop")) {
		recording_stop(rec);
	} else {
		err = -EINVAL;
	}

	if (!err)
		*ret = json_pack("{s:s}", "file", recording_path(rec));
	mem_deref(rec);
	return err;
}

static int run_spy(struct commands *commands, const json_t *data, json_t **ret)
{
	struct spy_opts opts = { .extension = js_str(data, "extension", ""),
				 .to_caller = !strcmp(js_str(data, "to", "b"), "a") };
	struct call *call = call_of(commands, data);
	int err;

	if (!call)
		return -ENOENT;
	err = room_role_of(&opts.role, js_str(data, "role", "spy"));
	if (!err)
		err = spy_start(commands->engine, call, &opts);
	if (!err)
		*ret = json_object();
	return err;
}

/* An audio file is played to a phone, or recorded from one. */
static int run_studio(struct commands *commands, const json_t *data, json_t **ret)
{
	struct studio_opts opts = { .tenant_id = js_int(data, "tenant_id", 0),
				    .extension = js_str(data, "extension", ""),
				    .account = js_str(data, "account", NULL),
				    .title = js_str(data, "title", ""),
				    .sound = js_str(data, "sound", NULL),
				    .audio_file = js_int(data, "audio_file", 0) };
	char id[STUDIO_ID_SIZE];
	int err = studio_start(commands->engine, &opts, id);

	if (!err)
		*ret = json_pack("{s:s}", "id", id);
	return err;
}

static int run_studio_state(struct commands *commands, const json_t *data, json_t **ret)
{
	return studio_state(ret, commands->engine, js_int(data, "tenant_id", 0), js_str(data, "id", ""));
}

static int run_rooms(struct commands *commands, const json_t *data, json_t **ret)
{
	*ret = json_pack("{s:o}", "items", room_list(commands->engine));
	return *ret ? 0 : -ENOMEM;
}

static int trace_text(const struct edge *edge, const char *const *callids, size_t n, json_t **ret)
{
	char *text = NULL;
	int err;

	err = edge_trace_text(edge, &text, callids, n);
	if (!err) {
		*ret = json_pack("{s:s}", "text", text);
		err = *ret ? 0 : -EBADMSG;
	}

	free(text);
	return err;
}

static int trace_pcap(const struct edge *edge, const char *const *callids, size_t n, json_t **ret)
{
	uint8_t *pcap = NULL;
	char *text = NULL;
	size_t len = 0, text_len;
	int err;

	err = edge_trace_pcap(edge, &pcap, &len, callids, n);
	if (err)
		return err;

	text_len = 4 * (len / 3 + 2);
	text = malloc(text_len);
	if (text && !base64_encode(pcap, len, text, &text_len))
		*ret = json_pack("{s:s%}", "pcap_base64", text, text_len);

	free(pcap);
	free(text);
	return *ret ? 0 : -ENOMEM;
}

static int run_trace(struct commands *commands, const json_t *data, json_t **ret)
{
	const struct edge *edge = commands->engine->o.edge;
	const char *const *callids;
	size_t n;

	callids = engine_callids(commands->engine, js_str(data, "linkedid", ""), &n);
	if (!callids)
		return -ENOENT;

	if (!strcmp(js_str(data, "format", "text"), "pcap"))
		return trace_pcap(edge, callids, n, ret);

	return trace_text(edge, callids, n, ret);
}

static const struct command commands_table[] = {
	{ "cmd.switch.status", run_status },
	{ "cmd.switch.registrations", run_registrations },
	{ "cmd.switch.calls", run_calls },
	{ "cmd.switch.hangup", run_hangup },
	{ "cmd.switch.play", run_play },
	{ "cmd.switch.record", run_record },
	{ "cmd.switch.spy", run_spy },
	{ "cmd.switch.studio", run_studio },
	{ "cmd.switch.studio_state", run_studio_state },
	{ "cmd.switch.rooms", run_rooms },
	{ "cmd.switch.certificate", run_certificate },
	{ "cmd.switch.trace", run_trace },
};

/* ------------------------------------------------------------------ ways in */

/* Call thread. */
static void queue_h(int id, void *arg_request, void *arg)
{
	struct commands *commands = arg;
	struct request *request = arg_request;
	json_t *answer = NULL;
	int err;

	(void)id;
	err = request->command->run_h(commands, request->data, &answer);
	bus_reply(request->reply, err, answer);
	json_decref(request->data);
	free(request);
}

/* Bus thread. */
static void bus_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct commands *commands = arg;
	struct request *request;

	if (!reply)
		return;

	for (size_t i = 0; i < sizeof(commands_table) / sizeof(commands_table[0]); i++) {
		if (strcmp(subject, commands_table[i].subject))
			continue;

		request = calloc(1, sizeof(*request));
		if (request) {
			request->command = &commands_table[i];
			/* One thread at a time may look at a tree of JSON: the call thread gets its own. */
			request->data = json_deep_copy(data);
			request->reply = reply;
			if (!mqueue_push(commands->queue, 0, request))
				return;
			json_decref(request->data);
			free(request);
		}
		bus_reply(reply, -ENOMEM, NULL);
		return;
	}
}

/* Bus thread. */
static void reload_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct commands *commands = arg;
	int err;

	err = loader_request(commands->loader, js_int(data, "tenant_id", 0), reply);
	if (err && reply)
		bus_reply(reply, err, NULL);
}

int commands_start(struct commands **ret, struct bus *bus, struct engine *engine,
		   struct loader *loader)
{
	struct commands *commands = calloc(1, sizeof(*commands));
	int err;

	if (!commands)
		return -ENOMEM;

	commands->engine = engine;
	commands->loader = loader;
	commands->started_ms = clk_mono_ms();

	err = err_from_re(mqueue_alloc(&commands->queue, queue_h, commands));
	for (size_t i = 0; i < sizeof(commands_table) / sizeof(commands_table[0]) && !err; i++)
		err = bus_subscribe(bus, commands_table[i].subject, bus_h, commands);
	if (!err)
		err = bus_subscribe(bus, "cmd.switch.reload", reload_h, commands);
	if (!err)
		err = bus_serve_process(bus, "switch");
	if (err) {
		commands_stop(commands);
		return err;
	}

	*ret = commands;
	return 0;
}

void commands_stop(struct commands *commands)
{
	if (!commands)
		return;

	mem_deref(commands->queue);
	free(commands);
}

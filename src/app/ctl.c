/* SPDX-License-Identifier: Apache-2.0 */
#include "app/app.h"
#include "app/ctl.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "call/e180.h"

#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK_TIMEOUT_MS 10000u
#define MAX_COLUMNS    12u

static const char *const processes[] = { "supervisor", "switch", "media", "web", "jobs" };
#define N_PROCESSES (sizeof(processes) / sizeof(processes[0]))

/* ------------------------------------------------------------------ asking and printing */

/* Asks and waits; prints what went wrong. Returns an exit code; *ret is a new reference. */
static int ask(struct ctl *ctl, const char *subject, json_t *data, json_t **ret)
{
	const int err = bus_request_wait(ret, ctl->bus, subject, data, ASK_TIMEOUT_MS);

	if (!err)
		return CTL_OK;
	if (err == -ENOENT) {
		(void)fprintf(stderr, "aoide ctl: there is no such call\n");
		return CTL_NOT_FOUND;
	}
	if (err == -ENOTSUP || err == -ENOTCONN) {
		(void)fprintf(stderr, "aoide ctl: %s\n",
			      err == -ENOTCONN ? "this call has nobody on that side" :
						 "the phones of this call talk to each other directly: "
						 "the PBX is not between them");
		return CTL_FAILED;
	}
	(void)fprintf(stderr, "aoide ctl: %s: %s\n", subject,
		      err == -EUNAVAILABLE ? "the process that answers this is not running; see "
					     "`aoide ctl status` and the log" :
					     err_text(err));
	return CTL_FAILED;
}

int ctl_print_json(const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);

	if (!text)
		return CTL_FAILED;

	(void)puts(text);
	free(text);
	return CTL_OK;
}

/* Characters, not bytes: names have accents. */
static size_t width_of(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_cell(const char *text, size_t width, bool is_last)
{
	size_t pad = width - width_of(text) + 2;

	(void)fputs(text, stdout);
	if (is_last) {
		(void)putchar('\n');
		return;
	}
	while (pad--)
		(void)putchar(' ');
}

static const char *cell(const json_t *row, size_t column)
{
	const char *text = json_string_value(json_array_get(row, column));

	return text && *text ? text : "-";
}

void ctl_print_table(const char *const *titles, size_t n_columns, const json_t *rows)
{
	size_t widths[MAX_COLUMNS] = { 0 }, i;
	const json_t *row;

	for (size_t c = 0; c < n_columns; c++) {
		widths[c] = width_of(titles[c]);
		json_array_foreach(rows, i, row) {
			if (width_of(cell(row, c)) > widths[c])
				widths[c] = width_of(cell(row, c));
		}
	}
	for (size_t c = 0; c < n_columns; c++)
		print_cell(titles[c], widths[c], c + 1 == n_columns);
	json_array_foreach(rows, i, row) {
		for (size_t c = 0; c < n_columns; c++)
			print_cell(cell(row, c), widths[c], c + 1 == n_columns);
	}
}

static json_t *span_text(int64_t s)
{
	if (s >= 86400)
		return json_sprintf("%lldd %02lldh", (long long)(s / 86400), (long long)(s / 3600 % 24));
	if (s >= 3600)
		return json_sprintf("%lldh %02lldm", (long long)(s / 3600), (long long)(s / 60 % 60));
	return json_sprintf("%lldm %02llds", (long long)(s / 60), (long long)(s % 60));
}

/* ------------------------------------------------------------------ commands over the bus */

static void print_numbers(const char *title, const json_t *status, const char *const *keys)
{
	(void)printf("\n%s", title);
	for (; *keys; keys++) {
		const json_t *value = json_object_get(status, *keys);

		if (json_is_integer(value))
			(void)printf("  %s %lld", *keys, (long long)json_integer_value(value));
		else if (json_is_real(value))
			(void)printf("  %s %.2f", *keys, json_real_value(value));
	}
}

static void print_status(const json_t *all)
{
	static const char *const titles[] = { "PROCESS", "PID", "STATE", "RESTARTS", "UP" };
	static const char *const switch_keys[] = { "calls", "calls_total", "registrations", "accounts",
						   "extensions", "cpu_s", "rss_kb", NULL };
	static const char *const media_keys[] = { "streams", "threads", "rx_packets", "tx_packets",
						  NULL };
	const json_t *supervisor = json_object_get(all, "supervisor"), *one;
	json_t *rows = json_array();
	size_t i;

	(void)printf("Aoide %s\n\n", js_str(supervisor, "version", "?"));
	json_array_foreach(json_object_get(supervisor, "processes"), i, one) {
		const int64_t pid = js_int(one, "pid", 0);

		json_array_append_new(
			rows, json_pack("[s, o, s, o, o]", js_str(one, "process", ""),
					json_sprintf("%lld", (long long)pid),
					!pid ? "down" : js_bool(one, "ready", false) ? "ready" : "starting",
					json_sprintf("%lld", (long long)js_int(one, "restarts", 0)),
					span_text(js_int(one, "uptime_s", 0))));
	}
	ctl_print_table(titles, 5, rows);
	print_numbers("switch:", json_object_get(all, "switch"), switch_keys);
	print_numbers("media: ", json_object_get(all, "media"), media_keys);
	(void)putchar('\n');
	json_decref(rows);
}

static int status(struct ctl *ctl)
{
	json_t *all = json_object(), *one;
	bool is_complete = true;
	char subject[64];

	for (size_t i = 0; i < N_PROCESSES; i++) {
		one = NULL;
		(void)snprintf(subject, sizeof(subject), "cmd.%s.status", processes[i]);
		if (bus_request_wait(&one, ctl->bus, subject, json_object(), 3000))
			is_complete = false;
		json_object_set_new(all, processes[i], one ? one : json_null());
	}

	if (ctl->is_json)
		(void)ctl_print_json(all);
	else
		print_status(all);
	json_decref(all);

	return is_complete ? CTL_OK : CTL_FAILED;
}

/*
 * Answers come in pages, so that none is larger than the bus carries; this asks for all of them. question:
 * what each page is asked for with; stolen.
 */
static int ask_all(struct ctl *ctl, const char *subject, json_t *question, json_t **ret)
{
	json_t *items = json_array(), *page = NULL;
	size_t before;
	int code;

	do {
		before = json_array_size(items);
		json_decref(page);
		page = NULL;
		json_object_set_new(question, "offset", json_integer((json_int_t)before));
		code = ask(ctl, subject, json_copy(question), &page);
		if (!code)
			json_array_extend(items, json_object_get(page, "items"));
	} while (!code && json_array_size(items) > before &&
		 (int64_t)json_array_size(items) < js_int(page, "total", 0));

	json_decref(question);
	json_decref(page);
	if (code) {
		json_decref(items);
		return code;
	}

	*ret = items;
	return CTL_OK;
}

static int registrations(struct ctl *ctl)
{
	static const char *const titles[] = { "ACCOUNT", "EXTENSION", "NAME", "SOURCE", "VIA", "PHONE",
					      "EXPIRES" };
	json_t *items = NULL, *rows = json_array(), *one;
	size_t i;
	int code;

	code = ask_all(ctl, "cmd.switch.registrations", json_object(), &items);
	if (code)
		goto out;
	if (ctl->is_json) {
		code = ctl_print_json(items);
		goto out;
	}

	json_array_foreach(items, i, one)
		json_array_append_new(
			rows, json_pack("[s, s, s, s, s, s, s]", js_str(one, "username", ""),
					js_str(one, "extension", ""), js_str(one, "extension_name", ""),
					js_str(one, "source", ""), js_str(one, "transport", ""),
					js_str(one, "user_agent", ""), js_str(one, "expires_at", "")));
	ctl_print_table(titles, 7, rows);
	(void)printf("%zu registered\n", json_array_size(items));

out:
	json_decref(items);
	json_decref(rows);
	return code;
}

/* ------------------------------------------------------------------ streams */

/* Tells each stream whose it is: call, and the account of the leg. */
static void name_streams(json_t *streams, const json_t *calls)
{
	json_t *stream;
	const json_t *call, *leg, *id;
	size_t i, c, l, k;

	json_array_foreach(calls, c, call)
		json_array_foreach(json_object_get(call, "legs"), l, leg)
			json_array_foreach(json_object_get(leg, "streams"), k, id)
				json_array_foreach(streams, i, stream) {
					if (!json_equal(json_object_get(stream, "id"), id))
						continue;
					json_object_set(stream, "call", json_object_get(call, "linkedid"));
					json_object_set(stream, "account", json_object_get(leg, "account"));
				}
}

static const json_t *find_call(const json_t *calls, const char *linkedid)
{
	const json_t *call;
	size_t i;

	json_array_foreach(calls, i, call)
		if (!strcmp(js_str(call, "linkedid", ""), linkedid))
			return call;
	(void)fprintf(stderr, "aoide ctl: there is no such call\n");
	return NULL;
}

static json_t *ids_of(const json_t *call)
{
	json_t *ids = json_array();
	const json_t *leg;
	size_t i;

	json_array_foreach(json_object_get(call, "legs"), i, leg)
		json_array_extend(ids, json_object_get(leg, "streams"));
	return ids;
}

static json_t *ms_text(const json_t *stream, const char *key)
{
	const double ms = json_real_value(json_object_get(stream, key));

	return ms > 0 ? json_sprintf("%.1f", ms) : json_string("");
}

static json_t *loss_text(int64_t lost, int64_t of)
{
	return of ? json_sprintf("%lld (%.1f%%)", (long long)lost, 100.0 * (double)lost / (double)of) :
		    json_string("");
}

static void print_streams(const json_t *streams)
{
	static const char *const titles[] = { "CALL",	"ACCOUNT", "KIND",   "PORT",   "REMOTE", "CODEC",
					      "RECEIVED", "LOST",  "LOST THERE", "JITTER", "RTT", "MOS" };
	json_t *rows = json_array();
	const json_t *one;
	size_t i;

	json_array_foreach(streams, i, one) {
		const int64_t rx = js_int(one, "rx_packets", 0), lost = js_int(one, "rx_lost", 0);
		const double mos = json_real_value(json_object_get(one, "mos"));

		json_array_append_new(
			rows,
			json_pack("[s, s, s, o, s, o, o, o, o, o, o, o]", js_str(one, "call", ""),
				  js_str(one, "account", ""), js_str(one, "kind", ""),
				  json_sprintf("%lld", (long long)js_int(one, "port", 0)),
				  js_str(one, "remote", ""),
				  json_sprintf("%s%s", js_str(one, "codec", ""),
					       js_bool(one, "transcoded", false) ? "*" : ""),
				  json_sprintf("%lld", (long long)rx), loss_text(lost, rx + lost),
				  loss_text(js_int(one, "tx_lost", 0), js_int(one, "tx_packets", 0)),
				  ms_text(one, "jitter_ms"), ms_text(one, "rtt_ms"),
				  mos > 0 ? json_sprintf("%.2f", mos) : json_string("")));
	}
	ctl_print_table(titles, sizeof(titles) / sizeof(titles[0]), rows);
	(void)printf(json_array_size(streams) == 1 ? "%zu stream; times in ms, * is decoded and encoded anew\n" :
						     "%zu streams; times in ms, * is decoded and encoded anew\n",
		     json_array_size(streams));
	json_decref(rows);
}

/* Of one call, or of all (NULL). */
static int ask_streams(struct ctl *ctl, const json_t *call, json_t **ret)
{
	return ask_all(ctl, "cmd.media.streams",
		       call ? json_pack("{s:o}", "ids", ids_of(call)) : json_object(), ret);
}

static int streams(struct ctl *ctl)
{
	json_t *all_calls = NULL, *items = NULL;
	const json_t *call = NULL;
	int code = ask_all(ctl, "cmd.switch.calls", json_object(), &all_calls);

	if (!code && ctl->argc) {
		call = find_call(all_calls, ctl->argv[0]);
		code = call ? CTL_OK : CTL_NOT_FOUND;
	}
	if (!code)
		code = ask_streams(ctl, call, &items);
	if (code)
		goto out;

	name_streams(items, all_calls);
	if (ctl->is_json)
		code = ctl_print_json(items);
	else
		print_streams(items);

out:
	json_decref(all_calls);
	json_decref(items);
	return code;
}

/* ------------------------------------------------------------------ calls */

/* One call with how its legs sound now. */
static int call_detail(struct ctl *ctl, const json_t *all_calls)
{
	const json_t *call = find_call(all_calls, ctl->argv[0]);
	json_t *items = NULL, *answer;
	int code;

	if (!call)
		return CTL_NOT_FOUND;

	code = ask_streams(ctl, call, &items);
	if (code)
		return code;

	name_streams(items, all_calls);
	if (ctl->is_json) {
		answer = json_deep_copy(call);
		json_object_set(answer, "streams", items);
		code = ctl_print_json(answer);
		json_decref(answer);
	} else {
		(void)printf("%s  %s: %s (%s) calls %s (%s) since %s\n\n", js_str(call, "linkedid", ""),
			     js_str(call, "state", ""), js_str(call, "caller", ""),
			     js_str(call, "src_account", ""), js_str(call, "called", ""),
			     js_str(call, "dst_account", ""), js_str(call, "started_at", ""));
		print_streams(items);
	}
	json_decref(items);
	return code;
}

static json_t *call_row(const json_t *call)
{
	const json_t *legs = json_object_get(call, "legs");

	return json_pack("[s, s, s, s, s, s, s]", js_str(call, "linkedid", ""),
			 js_str(call, "state", ""), js_str(call, "caller", ""),
			 js_str(call, "called", ""), js_str(call, "started_at", ""),
			 js_str(call, "answered_at", ""),
			 js_str(json_array_get(legs, 0), "codec", ""));
}

static int calls(struct ctl *ctl)
{
	static const char *const titles[] = { "CALL", "STATE", "FROM", "TO", "STARTED", "ANSWERED",
					      "CODEC" };
	json_t *items = NULL, *rows = json_array(), *one;
	size_t i;
	int code;

	code = ask_all(ctl, "cmd.switch.calls", json_object(), &items);
	if (code)
		goto out;
	if (ctl->argc) {
		code = call_detail(ctl, items);
		goto out;
	}
	if (ctl->is_json) {
		code = ctl_print_json(items);
		goto out;
	}

	json_array_foreach(items, i, one)
		json_array_append_new(rows, call_row(one));
	ctl_print_table(titles, 7, rows);
	(void)printf(json_array_size(items) == 1 ? "%zu call\n" : "%zu calls\n", json_array_size(items));

out:
	json_decref(items);
	json_decref(rows);
	return code;
}

static int hangup(struct ctl *ctl)
{
	json_t *answer = NULL;
	const int code = ask(ctl, "cmd.switch.hangup",
				 json_pack("{s:s}", "linkedid", ctl->argv[0]), &answer);

	if (!code && ctl->is_json)
		(void)ctl_print_json(answer);
	else if (!code)
		(void)printf("ended %s\n", ctl->argv[0]);
	json_decref(answer);
	return code;
}

/* What is no sound of its own kind and looks like a path is a file. */
static int add_sound(char *buf, size_t size, size_t len, const char *word)
{
	bool is_path = *word == '/';
	int n = snprintf(buf + len, size - len, "%s%s%s", len ? "\n" : "", is_path ? "file:" : "", word);

	return n < 0 || (size_t)n >= size - len ? -ENAMETOOLONG : n;
}

static int play(struct ctl *ctl)
{
	char sounds[4096] = "";
	json_t *answer = NULL;
	size_t len = 0;
	int code;

	if (strcmp(ctl->argv[1], "a") && strcmp(ctl->argv[1], "b")) {
		(void)fprintf(stderr, "aoide ctl: play CALL a|b SOUND...; a is the caller, b the other\n");
		return CTL_USAGE;
	}
	for (int i = 2; i < ctl->argc; i++) {
		const char *tone = e180_asked(ctl->argv[i]);
		int n = add_sound(sounds, sizeof(sounds), len, ctl->argv[i]);

		if (tone && !e180_named(tone)) {
			(void)fprintf(stderr,
				      "aoide ctl: %s: no such country or tone; it, us, uk, de, fr, es, pt, ch, at, nl, be, pl; "
				      "dial, ringback, busy, congestion\n", ctl->argv[i]);
			return CTL_USAGE;
		}
		if (n < 0) {
			(void)fprintf(stderr, "aoide ctl: too many sounds\n");
			return CTL_USAGE;
		}
		len += (size_t)n;
	}

	code = ask(ctl, "cmd.switch.play",
		       json_pack("{s:s, s:s, s:s}", "linkedid", ctl->argv[0], "leg", ctl->argv[1],
				 "sounds", sounds),
		       &answer);
	if (!code && ctl->is_json)
		(void)ctl_print_json(answer);
	else if (!code)
		(void)printf("%s %s\n", len ? "playing to" : "stopped on", ctl->argv[0]);
	json_decref(answer);
	return code;
}

static int write_pcap(const char *path, const char *base64)
{
	const size_t size = strlen(base64) / 4 * 3 + 3;
	uint8_t *pcap = malloc(size);
	size_t len = 0;
	FILE *file;
	int code = CTL_FAILED;

	if (!pcap || sodium_base642bin(pcap, size, base64, strlen(base64), NULL, &len, NULL,
				       sodium_base64_VARIANT_ORIGINAL)) {
		(void)fprintf(stderr, "aoide ctl: the answer is damaged\n");
		free(pcap);
		return CTL_FAILED;
	}

	file = strcmp(path, "-") ? fopen(path, "wbe") : stdout;
	if (file && fwrite(pcap, 1, len, file) == len && !fflush(file))
		code = CTL_OK;
	if (code)
		(void)fprintf(stderr, "aoide ctl: %s: %s\n", path, err_text(errno));
	if (file && file != stdout)
		(void)fclose(file);
	free(pcap);

	return code;
}

static int trace(struct ctl *ctl)
{
	json_t *answer = NULL;
	int code;

	code = ask(ctl, "cmd.switch.trace",
		       json_pack("{s:s, s:s}", "linkedid", ctl->argv[0], "format",
				 ctl->pcap ? "pcap" : "text"),
		       &answer);
	if (code)
		return code;

	if (ctl->pcap)
		code = write_pcap(ctl->pcap, js_str(answer, "pcap_base64", ""));
	else if (ctl->is_json)
		code = ctl_print_json(answer);
	else
		(void)fputs(js_str(answer, "text", ""), stdout);
	json_decref(answer);

	return code;
}

static int log_levels(struct ctl *ctl)
{
	json_t *all = json_object(), *one;
	char subject[64];
	int code = CTL_OK, err;

	if (ctl->argc == 1) {
		(void)fprintf(stderr, "aoide ctl: log MODULE LEVEL; MODULE * is all of them\n");
		json_decref(all);
		return CTL_USAGE;
	}

	/* Whether the words are ones shows here: this process writes no events any more. */
	err = ctl->argc ? log_level_set(ctl->argv[0], ctl->argv[1]) : 0;
	if (err == -ENOENT)
		(void)fprintf(stderr, "aoide ctl: \"%s\" is no module: *, %s\n", ctl->argv[0],
			      log_module_names());
	else if (err)
		(void)fprintf(stderr,
			      "aoide ctl: \"%s\" is not a level: error, warn, info or debug\n",
			      ctl->argv[1]);
	if (err) {
		json_decref(all);
		return CTL_USAGE;
	}

	for (size_t i = 0; i < N_PROCESSES; i++) {
		one = NULL;
		(void)snprintf(subject, sizeof(subject), "cmd.%s.loglevel", processes[i]);
		code = ask(ctl, subject,
			       ctl->argc ? json_pack("{s:s, s:s}", "module", ctl->argv[0], "level",
						     ctl->argv[1]) :
					   json_object(),
			       &one);
		if (code)
			break;
		if (!ctl->is_json)
			(void)printf("%s\n%s\n", processes[i], js_str(one, "levels", ""));
		json_object_set_new(all, processes[i], one);
	}
	if (ctl->is_json && !code)
		code = ctl_print_json(all);
	json_decref(all);

	return code;
}

/* ------------------------------------------------------------------ the command line */

static const struct ctl_command {
	const char *name;
	int min_args, max_args;
	bool is_without_bus; /* works when nothing runs */
	int (*run_h)(struct ctl *ctl);
	const char *args, *help;
} commands[] = {
	{ "status", 0, 0, false, status, "", "processes, calls, registrations" },
	{ "registrations", 0, 0, false, registrations, "", "where accounts are registered" },
	{ "calls", 0, 1, false, calls, "[CALL]", "calls in progress; one with how its legs sound" },
	{ "streams", 0, 1, false, streams, "[CALL]",
	  "RTP streams of all calls or of one: loss, jitter, round trip, estimated quality" },
	{ "hangup", 1, 1, false, hangup, "CALL", "end a call" },
	{ "play", 2, 32, false, play, "CALL a|b [SOUND...]",
	  "let the caller (a) or the other (b) hear sounds: a WAV's full path, a prompt (echo/intro),\n"
	  "      tone:425/1000, tone:uk/busy, silence:500, dtmf:12; without any: stop" },
	{ "record", 2, 2, false, ctl_record,
	  "CALL start|pause|resume|stop [--stereo|--mono] [--opus] [--encrypt]",
	  "record a call; both sides, each on a channel of its own unless --mono" },
	{ "spy", 2, 2, false, ctl_spy, "CALL EXTENSION [--whisper|--barge] [--to-caller]",
	  "ring an extension and let it listen to a call; its keys 4, 5, 6: listen, whisper, join" },
	{ "room", 0, 0, false, ctl_rooms, "", "conversations with more than two in them" },
	{ "recording-decrypt", 2, 2, true, ctl_decrypt, "FILE.enc OUT",
	  "decrypt a recording of this installation" },
	{ "trace", 1, 1, false, trace, "CALL [--pcap FILE]",
	  "SIP messages of a call, as text or for Wireshark (- is standard output)" },
	{ "apply", 0, 1, false, ctl_apply, "[TENANT]",
	  "put the saved configuration of a tenant (domain), or of all, in force" },
	{ "log", 0, 2, false, log_levels, "[MODULE LEVEL]",
	  "show or set log levels: `log sip debug`, `log '*' info`; a module is the first word of an\n"
	  "      event: sip, call, media, switch, web, db, bus, jobs, tls, process" },
	{ "user", 2, 2, true, ctl_user, "reset-password USER@DOMAIN [--password-stdin]",
	  "set a new password and print it" },
};

static int help(FILE *out)
{
	(void)fputs("Usage: aoide ctl [--data DIR | --config FILE] [--json] COMMAND\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		(void)fprintf(out, "  %s%s%s\n      %s\n", commands[i].name,
			      *commands[i].args ? " " : "", commands[i].args, commands[i].help);
	(void)fputs("\nThe data folder is that of `aoide run`; default ./data, for root /var/lib/aoide.\n"
		    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 Aoide is not running, 4 no such thing.\n",
		    out);
	return out == stdout ? CTL_OK : CTL_USAGE;
}

struct options {
	const char *data, *config;
};

static bool take_flag(struct ctl *ctl, const char *name)
{
	bool stereo = false; /* the default */
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{ "--stereo", &stereo },
		{ "--mono", &ctl->with.mono },
		{ "--opus", &ctl->with.opus },
		{ "--encrypt", &ctl->with.encrypt },
		{ "--whisper", &ctl->with.whisper },
		{ "--barge", &ctl->with.barge },
		{ "--to-caller", &ctl->with.to_caller },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(name, flags[i].name)) {
			*flags[i].flag = true;
			return true;
		}
	}

	return false;
}

static int bad_option(const char *option)
{
	(void)fprintf(stderr,
		      "aoide ctl: \"%s\" is not an option, or lacks its value; `aoide ctl help` lists all\n",
		      option);
	return -EINVAL;
}

/* Options may stand before and after the command. */
static int take_options(struct ctl *ctl, struct options *options, int argc, char *argv[],
			char **words)
{
	const struct {
		const char *name;
		const char **value;
	} with_value[] = {
		{ "--data", &options->data },
		{ "--config", &options->config },
		{ "--pcap", &ctl->pcap },
	};
	int n = 0;

	for (int i = 0; i < argc; i++) {
		bool is_taken = false;

		for (size_t k = 0; k < 3 && !is_taken; k++) {
			const size_t len = strlen(with_value[k].name);

			if (strncmp(argv[i], with_value[k].name, len))
				continue;
			if (argv[i][len] == '=')
				*with_value[k].value = argv[i] + len + 1;
			else if (!argv[i][len] && i + 1 < argc)
				*with_value[k].value = argv[++i];
			else
				continue;
			is_taken = true;
		}
		if (is_taken)
			continue;
		if (!strcmp(argv[i], "--json"))
			ctl->is_json = true;
		else if (!strcmp(argv[i], "--password-stdin"))
			ctl->reads_password = true;
		else if (take_flag(ctl, argv[i]))
			continue;
		else if (!strncmp(argv[i], "--", 2))
			return bad_option(argv[i]);
		else
			words[n++] = argv[i];
	}

	return n;
}

static bool exists(const char *path)
{
	struct stat st;

	return !stat(path, &st);
}

/* The configuration of the PBX that runs, or ran last, in the data folder. */
static int find_config(struct ctl *ctl, const struct options *options)
{
	const char *const places[] = { options->data, "./data", "/var/lib/aoide" };
	char path[PATH_MAX], why[300] = "";
	int err;

	err = config_alloc(&ctl->config);
	if (err)
		return err;

	if (options->config) {
		err = config_read(ctl->config, options->config, why, sizeof(why));
		if (err)
			(void)fprintf(stderr, "aoide ctl: %s\n", why);
		return err;
	}
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (!places[i] || (options->data && i))
			continue;
		(void)snprintf(path, sizeof(path), "%s/" CONFIG_RUN_FILE, places[i]);
		if (!exists(path))
			continue;
		err = config_read(ctl->config, path, why, sizeof(why));
		if (err)
			(void)fprintf(stderr, "aoide ctl: %s\n", why);
		else /* the folder may have been moved */
			err = config_set(ctl->config, "data", places[i], why, sizeof(why));
		return err;
	}

	(void)fprintf(stderr,
		      "aoide ctl: no PBX has run in %s: say where with --data DIR, or start one with "
		      "`aoide run`\n",
		      options->data ? options->data : "./data or /var/lib/aoide");
	return -ENOENT;
}

static int connect_bus(struct ctl *ctl, bool is_needed)
{
	char path[PATH_MAX], name[32];
	int err;

	(void)snprintf(name, sizeof(name), "ctl-%d", (int)getpid());
	(void)config_path(path, sizeof(path), ctl->config, CONFIG_BUS_SOCKET);
	err = bus_connect(&ctl->bus, path, name);
	if (!err && bus_connected(ctl->bus))
		return CTL_OK;

	if (is_needed)
		(void)fprintf(stderr, "aoide ctl: Aoide is not running in %s: start it with `aoide run`\n",
		      ctl->config->data_dir);
	return CTL_NOT_RUNNING;
}

static int run_command(struct ctl *ctl, const struct ctl_command *command)
{
	const int code = connect_bus(ctl, !command->is_without_bus);

	return code && !command->is_without_bus ? code : command->run_h(ctl);
}

static int dispatch(struct ctl *ctl, const struct options *options, char **words, int n)
{
	for (size_t i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(words[0], commands[i].name))
			continue;
		ctl->argc = n - 1;
		ctl->argv = words + 1;
		if (ctl->argc < commands[i].min_args || ctl->argc > commands[i].max_args) {
			(void)fprintf(stderr, "Usage: aoide ctl %s%s%s\n", commands[i].name,
				      *commands[i].args ? " " : "", commands[i].args);
			return CTL_USAGE;
		}
		if (find_config(ctl, options))
			return CTL_NOT_RUNNING;
		return run_command(ctl, &commands[i]);
	}

	if (n) {
		(void)fprintf(stderr, "aoide ctl: \"%s\" is not a command; `aoide ctl help` lists all\n",
			      words[0]);
		return CTL_USAGE;
	}
	return help(stderr);
}

int ctl_main(int argc, char *argv[])
{
	struct options options = { 0 };
	struct ctl ctl = { 0 };
	char **words;
	int n, code;

	for (int i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "help") || !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return help(stdout);
	}
	(void)log_level_set("*", "error");
	words = calloc((size_t)argc + 1, sizeof(*words));
	if (!words)
		return CTL_FAILED;

	n = take_options(&ctl, &options, argc, argv, words);
	if (n < 0)
		code = CTL_USAGE;
	else
		code = dispatch(&ctl, &options, words, n);

	bus_close(ctl.bus);
	config_free(ctl.config);
	free(words);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "bus/bus.h"
#include "web/rest.h"
#include "web/web_priv.h"

/*
 * GET /metrics: what can be counted, as OpenMetrics text (docs/metrics.md). Numbers of all tenants
 * together: only this machine and users of the machine may read them. Labels come from fixed lists, so
 * that their number does not grow with use.
 */
#define WAIT_MS 2000

static const char ctype_openmetrics[] = "application/openmetrics-text; version=1.0.0; charset=utf-8";
static const char ctype_plain[] = "text/plain; version=0.0.4; charset=utf-8";

/* The processes that are asked, in the order of `answers`. */
static const char *const subjects[] = { "cmd.supervisor.status", "cmd.switch.status",
					"cmd.media.status", "cmd.media.totals", "cmd.jobs.status" };
enum { ASK_SUPERVISOR, ASK_SWITCH, ASK_MEDIA, ASK_TOTALS, ASK_JOBS, ASKED };

enum kind { GAUGE, COUNTER };

static const struct metric {
	int from;         /* ASK_ */
	const char *key;  /* "edge.requests": in an object of the answer */
	enum kind kind;
	const char *name, *help;
} metrics[] = {
	{ ASK_SWITCH, "calls", GAUGE, "aoide_calls", "Calls in progress." },
	{ ASK_SWITCH, "calls_total", COUNTER, "aoide_calls_started", "Calls since the switch started." },
	{ ASK_SWITCH, "registrations", GAUGE, "aoide_registrations", "Contacts that are registered." },
	{ ASK_SWITCH, "accounts", GAUGE, "aoide_accounts", "SIP accounts in force." },
	{ ASK_SWITCH, "tenants", GAUGE, "aoide_tenants", "Tenants in force." },
	{ ASK_SWITCH, "edge.requests", COUNTER, "aoide_sip_requests", "SIP requests received." },
	{ ASK_SWITCH, "edge.responses", COUNTER, "aoide_sip_responses", "SIP responses received." },
	{ ASK_SWITCH, "edge.malformed", COUNTER, "aoide_sip_malformed", "Messages that were not SIP." },
	{ ASK_SWITCH, "edge.auth_failed", COUNTER, "aoide_sip_auth_failures", "Wrong passwords." },
	{ ASK_SWITCH, "edge.refused", COUNTER, "aoide_sip_refused", "Requests that were refused." },
	{ ASK_SWITCH, "edge.not_sent", COUNTER, "aoide_sip_not_sent", "Responses over UDP that could not be sent." },
	{ ASK_SWITCH, "edge.connections", GAUGE, "aoide_sip_connections", "TCP, TLS and WebSocket connections." },
	{ ASK_SWITCH, "journal.dropped", COUNTER, "aoide_journal_dropped", "Records that found no room in the journal." },
	{ ASK_MEDIA, "streams", GAUGE, "aoide_streams", "RTP streams that are open." },
	{ ASK_MEDIA, "opened", COUNTER, "aoide_streams_opened", "RTP streams since the media process started." },
	{ ASK_MEDIA, "failed", COUNTER, "aoide_streams_failed", "RTP streams that could not be opened." },
	{ ASK_MEDIA, "port_pairs", GAUGE, "aoide_rtp_port_pairs", "Pairs of RTP ports there are." },
	{ ASK_MEDIA, "dropped", COUNTER, "aoide_rtp_datagrams_dropped", "Datagrams thrown away: strangers' and malformed ones." },
	{ ASK_TOTALS, "rx_packets", COUNTER, "aoide_rtp_received_packets", "RTP packets received." },
	{ ASK_TOTALS, "rx_lost", COUNTER, "aoide_rtp_lost_packets", "RTP packets that did not arrive." },
	{ ASK_TOTALS, "tx_packets", COUNTER, "aoide_rtp_sent_packets", "RTP packets sent." },
	{ ASK_TOTALS, "tx_lost", COUNTER, "aoide_rtp_lost_remote_packets", "RTP packets lost at the other side, as reported." },
	{ ASK_TOTALS, "video", GAUGE, "aoide_streams_video", "Streams that carry video." },
	{ ASK_TOTALS, "encrypted", GAUGE, "aoide_streams_encrypted", "Streams with SRTP." },
	{ ASK_TOTALS, "music", GAUGE, "aoide_streams_music", "Streams that hear music on hold." },
	{ ASK_TOTALS, "transcoding", GAUGE, "aoide_streams_transcoding", "Streams that are decoded and encoded anew." },
	{ ASK_TOTALS, "transcoded", COUNTER, "aoide_streams_transcoded", "Streams that were decoded and encoded anew." },
	{ ASK_TOTALS, "rooms", GAUGE, "aoide_mixers", "Mixers (conferences and the like)." },
};

/* Values of ended streams; the media process counts in ms, seconds are OpenMetrics' unit. */
static const struct shape {
	const char *key, *name, *unit, *help;
	double scale;
} shapes[] = {
	{ "jitter_ms", "aoide_stream_jitter_seconds", "seconds", "Jitter of streams that have ended.", 0.001 },
	{ "rtt_ms", "aoide_stream_round_trip_seconds", "seconds", "Round trip of streams that have ended.", 0.001 },
	{ "mos", "aoide_stream_mos", NULL, "Estimated quality (ITU-T G.107) of streams that have ended.", 1 },
};

static void head(struct web_text *out, const char *name, const char *type, const char *unit,
		 const char *help)
{
	web_text_printf(out, "# TYPE %s %s\n", name, type);
	if (unit)
		web_text_printf(out, "# UNIT %s %s\n", name, unit);
	web_text_printf(out, "# HELP %s %s\n", name, help);
}

/* "edge.requests" of an answer; NULL: it does not tell. */
static const json_t *look_up(const json_t *answer, const char *key)
{
	const char *dot = strchr(key, '.');
	char folder[32];

	if (!dot)
		return json_object_get(answer, key);
	(void)snprintf(folder, sizeof(folder), "%.*s", (int)(dot - key), key);
	return json_object_get(json_object_get(answer, folder), dot + 1);
}

static void print_metric(struct web_text *out, const struct metric *metric, const json_t *answer)
{
	const json_t *value = look_up(answer, metric->key);

	if (!json_is_number(value))
		return; /* that process is down: no value is better than a wrong one */
	head(out, metric->name, metric->kind == COUNTER ? "counter" : "gauge", NULL, metric->help);
	web_text_printf(out, "%s%s %.17g\n", metric->name, metric->kind == COUNTER ? "_total" : "",
			json_number_value(value));
}

static void print_shape(struct web_text *out, const struct shape *shape, const json_t *totals)
{
	const json_t *data = json_object_get(json_object_get(totals, "shapes"), shape->key), *bucket;
	json_int_t below = 0;
	size_t i;

	if (!data)
		return;
	head(out, shape->name, "histogram", shape->unit, shape->help);
	json_array_foreach(json_object_get(data, "buckets"), i, bucket) {
		const json_t *limit = json_array_get(bucket, 0);

		below += json_integer_value(json_array_get(bucket, 1));
		if (json_is_number(limit))
			web_text_printf(out, "%s_bucket{le=\"%g\"} %lld\n", shape->name,
					json_number_value(limit) * shape->scale, (long long)below);
		else
			web_text_printf(out, "%s_bucket{le=\"+Inf\"} %lld\n", shape->name, (long long)below);
	}
	web_text_printf(out, "%s_count %lld\n%s_sum %.9g\n", shape->name, (long long)below, shape->name,
			json_number_value(json_object_get(data, "sum")) * shape->scale);
}

static void print_codecs(struct web_text *out, json_t *totals)
{
	json_t *codecs = json_object_get(totals, "codecs"), *n;
	const char *codec;

	if (!codecs)
		return;
	head(out, "aoide_streams_codec", "gauge", NULL, "Streams of sound by the codec that arrives.");
	json_object_foreach(codecs, codec, n)
		web_text_printf(out, "aoide_streams_codec{codec=\"%s\"} %lld\n", codec,
				(long long)json_integer_value(n));
}

/* One value of each process under the same name. */
static void print_processes(struct web_text *out, json_t *const *answers, const json_t *web)
{
	const struct {
		const char *name;
		const json_t *answer;
	} processes[] = { { "supervisor", answers[ASK_SUPERVISOR] }, { "switch", answers[ASK_SWITCH] },
			  { "media", answers[ASK_MEDIA] }, { "web", web }, { "jobs", answers[ASK_JOBS] } };
	static const struct {
		const char *key, *name, *suffix, *type, *unit, *help;
		double scale;
	} values[] = {
		{ NULL, "aoide_process_up", "", "gauge", NULL, "1 when the process answers.", 1 },
		{ "uptime_s", "aoide_process_uptime_seconds", "", "gauge", "seconds", "Since it was started.", 1 },
		{ "cpu_s", "aoide_process_cpu_seconds", "_total", "counter", "seconds", "CPU time used.", 1 },
		{ "rss_kb", "aoide_process_resident_memory_bytes", "", "gauge", "bytes", "Memory in use.", 1024 },
	};

	for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
		head(out, values[v].name, values[v].type, values[v].unit, values[v].help);
		for (size_t i = 0; i < sizeof(processes) / sizeof(processes[0]); i++) {
			const json_t *value = values[v].key ?
						      json_object_get(processes[i].answer, values[v].key) :
						      NULL;

			if (values[v].key && !json_is_number(value))
				continue;
			web_text_printf(out, "%s%s{process=\"%s\"} %.17g\n", values[v].name, values[v].suffix,
					processes[i].name,
					values[v].key ? json_number_value(value) * values[v].scale :
							processes[i].answer != NULL);
		}
	}
}

static void print_web(struct web_text *out, const json_t *web)
{
	static const struct metric own[] = {
		{ 0, "requests", COUNTER, "aoide_http_requests", "HTTP requests answered." },
		{ 0, "refused", COUNTER, "aoide_http_refused", "HTTP requests refused because too many waited." },
		{ 0, "sockets", GAUGE, "aoide_http_websockets", "Browsers on /ws." },
	};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		print_metric(out, &own[i], web);
}

int rest_metrics_get(struct rest *rest)
{
	const char *accept = rest->req->headers[H_ACCEPT];
	bool plain = accept && strstr(accept, "text/plain") && !strstr(accept, "openmetrics");
	json_t *answers[ASKED] = { 0 }, *web;
	struct web_text out = { 0 };

	if (rest->who && rest->who->user.tenant_id)
		return -EACCES; /* the numbers are of all tenants */

	for (int i = 0; i < ASKED && rest->web->bus; i++)
		if (bus_request_wait(&answers[i], rest->web->bus, subjects[i], json_object(), WAIT_MS))
			answers[i] = NULL;
	web = web_status(rest->web);

	head(&out, "aoide_build", "info", NULL, "The program.");
	web_text_printf(&out, "aoide_build_info{version=\"%s\"} 1\n", AOIDE_VERSION);
	print_processes(&out, answers, web);
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
		print_metric(&out, &metrics[i], answers[metrics[i].from]);
	print_codecs(&out, answers[ASK_TOTALS]);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		print_shape(&out, &shapes[i], answers[ASK_TOTALS]);
	print_web(&out, web);
	web_text_puts(&out, "# EOF\n");

	json_decref(web);
	for (int i = 0; i < ASKED; i++)
		json_decref(answers[i]);
	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer_text(rest, 200, plain ? ctype_plain : ctype_openmetrics, &out);
}

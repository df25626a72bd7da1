/* SPDX-License-Identifier: Apache-2.0 */
#include "call/record.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "call/call.h"
#include "call/call_record.h"
#include "call/cdr.h"
#include "call/engine.h"
#include "call/journal.h"
#include "call/leg.h"
#include "call/quality.h"
#include "db/writer.h"
#include "media/client.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define RECORD_VERSION     3
#define RECORD_MAX_STREAMS 32
#define RECORD_DIALOGS     2
#define UNSAFE_LOOK_MS     200 /* whether CDRs were acknowledged */

/* The plain struct that is journalled; the CDR, the dialogs' states and what is known about recordings
 * follow it. */
struct call_record {
	uint32_t version;
	uint32_t n_streams;
	uint64_t streams[RECORD_MAX_STREAMS];
	uint32_t cdr_len;
	uint32_t dialog_len[RECORD_DIALOGS];
	uint32_t recordings_len;
};

/* A CDR on its way to the disk; the journal keeps the call until it is there. */
struct pending {
	struct le le;
	uint64_t seq, call_id;
};

static void fill_detail(struct cdr_detail *detail, const struct call *call,
			const struct call_step *step)
{
	str_ncpy(detail->source_num, call_caller_number(call), sizeof(detail->source_num));
	str_ncpy(detail->destination_type, step->destination_type, sizeof(detail->destination_type));
	str_ncpy(detail->destination_id, step->destination_id, sizeof(detail->destination_id));
	str_ncpy(detail->destination_name, step->destination_name, sizeof(detail->destination_name));
	str_ncpy(detail->destination_num, step->destination_num, sizeof(detail->destination_num));
	str_ncpy(detail->answered_by, step->answered_by, sizeof(detail->answered_by));
	str_ncpy(detail->exit_cause, step->exit_cause, sizeof(detail->exit_cause));
	detail->enter_us = step->enter_us;
	detail->answer_us = step->answer_us;
	detail->exit_us = step->exit_us;
}

/* The call as a CDR, into the engine's scratch. */
static struct cdr *fill_cdr(const struct call *call)
{
	const struct outcome_rule *rule = outcome_rule(call->result.outcome);
	const struct call_step *last = list_ledata(list_tail(&call->steps));
	struct cdr *cdr = call->engine->cdr_buf;
	size_t n = 0;

	memset(cdr, 0, offsetof(struct cdr, details));
	cdr->tenant_id = call->tenant->id;
	str_ncpy(cdr->unique_id, call->linkedid, sizeof(cdr->unique_id));
	str_ncpy(cdr->linkedid, call->linkedid, sizeof(cdr->linkedid));
	str_ncpy(cdr->source_type, "local_exten", sizeof(cdr->source_type));
	str_ncpy(cdr->destination_type, last ? last->destination_type : "local_exten",
		 sizeof(cdr->destination_type));
	str_ncpy(cdr->status, rule->cdr_status, sizeof(cdr->status));
	cdr->start_us = call->start_us;
	cdr->answer_us = call->answer_us;
	cdr->channel_up_us = call->answer_us;
	cdr->end_us = call->end_us;
	str_ncpy(cdr->caller, call_caller_number(call), sizeof(cdr->caller));
	str_ncpy(cdr->caller_name, call_caller_name(call), sizeof(cdr->caller_name));
	str_ncpy(cdr->called, call->called, sizeof(cdr->called));
	str_ncpy(cdr->called_name, call->called_name, sizeof(cdr->called_name));
	str_ncpy(cdr->answered_by, call->answered_by, sizeof(cdr->answered_by));
	str_ncpy(cdr->src_peer_name, call->account_name, sizeof(cdr->src_peer_name));
	str_ncpy(cdr->src_ip_port, call->source, sizeof(cdr->src_ip_port));
	if (call->caller_ext)
		str_ncpy(cdr->src_extension, call->caller_ext->number, sizeof(cdr->src_extension));
	cdr->sip_code = call->result.scode ? call->result.scode : rule->scode;
	cdr->q850 = call->result.q850 ? call->result.q850 : rule->q850;

	call_quality_print(call, cdr->quality, sizeof(cdr->quality));

	for (struct le *le = call->steps.head; le && n < CDR_MAX_DETAILS; le = le->next) {
		memset(&cdr->details[n], 0, sizeof(cdr->details[n]));
		fill_detail(&cdr->details[n++], call, le->data);
	}
	cdr->n_details = n;

	return cdr;
}

static size_t put_streams(struct call_record *record, const struct leg *leg)
{
	size_t n = record->n_streams;

	for (size_t i = 0; leg && i < leg->n_streams && n < RECORD_MAX_STREAMS; i++) {
		if (leg->streams[i])
			record->streams[n++] = media_stream_id(leg->streams[i]);
	}

	return n;
}

void call_record_save(struct call *call)
{
	struct engine *engine = call->engine;
	uint8_t *buf = engine->record_buf;
	const struct leg *sides[RECORD_DIALOGS] = { call->a, call->b };
	struct call_record record = { .version = RECORD_VERSION };
	size_t used = sizeof(record);
	int n;

	if (!engine->o.journal)
		return;

	n = cdr_pack(fill_cdr(call), buf + used, CALL_JOURNAL_MAX_RECORD - used);
	if (n < 0)
		return;
	record.cdr_len = (uint32_t)n;
	used += (size_t)n;

	for (size_t i = 0; i < RECORD_DIALOGS; i++) {
		record.n_streams = (uint32_t)put_streams(&record, sides[i]);

		if (!sides[i] || !sides[i]->inv || !inv_is_established(sides[i]->inv) ||
		    CALL_JOURNAL_MAX_RECORD - used < INV_STATE_MAX)
			continue;

		n = inv_export(sides[i]->inv, (char *)buf + used, INV_STATE_MAX);
		if (n < 0)
			continue;
		record.dialog_len[i] = (uint32_t)n;
		used += (size_t)n;
	}

	record.recordings_len =
		(uint32_t)recording_export(call, buf + used, CALL_JOURNAL_MAX_RECORD - used);
	used += record.recordings_len;

	memcpy(buf, &record, sizeof(record));
	call_journal_put(engine->o.journal, call->id, buf, used);
}

static void pending_destructor(void *arg)
{
	struct pending *pending = arg;

	list_unlink(&pending->le);
}

static void look_again(void *arg)
{
	struct engine *engine = arg;

	call_record_sweep(engine);
	if (engine->unsafe_cdrs.head)
		tmr_start(&engine->unsafe_look, UNSAFE_LOOK_MS, look_again, engine);
}

/* Posts the CDR in the scratch; remembers to clear the journal when it is safe. */
static void post_cdr(struct engine *engine, const struct cdr *cdr, uint64_t call_id)
{
	struct pending *pending;
	uint64_t seq = 0;
	int n, err;

	if (!engine->o.writer)
		return;

	n = cdr_pack(cdr, engine->record_buf, CDR_RECORD_MAX_BYTES);
	err = n < 0 ? n : writer_post(engine->o.writer, CDR_RECORD, engine->record_buf, (size_t)n, &seq);
	if (err) {
		/* The journal still knows the call: the next start writes its CDR. */
		log_error("call.cdr_not_written", "a CDR could not be stored; it stays journalled",
			  kv_text("linkedid", cdr->linkedid), kv_err(err));
		return;
	}

	pending = mem_zalloc(sizeof(*pending), pending_destructor);
	if (!pending)
		return; /* written twice at worst, and the second insert changes nothing */

	pending->seq = seq;
	pending->call_id = call_id;
	list_append(&engine->unsafe_cdrs, &pending->le, pending);
	if (!tmr_isrunning(&engine->unsafe_look))
		tmr_start(&engine->unsafe_look, UNSAFE_LOOK_MS, look_again, engine);
}

void call_record_finish(struct call *call)
{
	const struct cdr *cdr = fill_cdr(call);

	recording_call_ended(call, cdr);
	post_cdr(call->engine, cdr, call->id);
}

void call_record_sweep(struct engine *engine)
{
	uint64_t acked;

	if (!engine->o.writer)
		return;

	acked = writer_acked(engine->o.writer);
	while (engine->unsafe_cdrs.head) {
		struct pending *pending = engine->unsafe_cdrs.head->data;

		if (pending->seq > acked)
			return;
		call_journal_remove(engine->o.journal, pending->call_id);
		mem_deref(pending);
	}
}

/* The crash is the end of what was talking, and a failure of what was still ringing. */
static void close_cdr(struct cdr *cdr)
{
	cdr->end_us = clk_wall_us();
	str_ncpy(cdr->status, cdr->answer_us ? "OK" : "FAILED", sizeof(cdr->status));

	for (size_t i = 0; i < cdr->n_details; i++) {
		struct cdr_detail *detail = &cdr->details[i];

		if (detail->exit_us)
			continue;
		detail->exit_us = cdr->end_us;
		str_ncpy(detail->exit_cause, detail->answer_us ? "NCC" : "FAILED",
			 sizeof(detail->exit_cause));
	}
}

void call_record_recover(uint64_t call_id, const void *data, size_t len, void *arg)
{
	struct engine *engine = arg;
	struct cdr *cdr = engine->cdr_buf;
	struct call_record record;
	const char *p = data;
	size_t left;
	int err;

	if (len < sizeof(record))
		return;
	memcpy(&record, p, sizeof(record));
	p += sizeof(record);
	left = len - sizeof(record);

	if (record.version != RECORD_VERSION || record.n_streams > RECORD_MAX_STREAMS ||
	    record.cdr_len > left || cdr_unpack(cdr, p, record.cdr_len)) {
		log_error("call.record_unreadable", "a journalled call cannot be read",
			  kv_int("version", record.version));
		return;
	}
	p += record.cdr_len;
	left -= record.cdr_len;

	media_abandon(engine->o.media, record.streams, record.n_streams);

	for (size_t i = 0; i < RECORD_DIALOGS; i++) {
		size_t n = record.dialog_len[i];

		if (!n || n > left)
			continue;
		err = inv_bye_exported(engine->o.edge, p, n);
		p += n;
		left -= n;
		if (err)
			log_warn("call.bye_failed", "a dialog of the last process could not be ended",
				 kv_text("linkedid", cdr->linkedid), kv_err(err));
	}

	close_cdr(cdr);
	if (record.recordings_len <= left)
		recording_recover(engine, p, record.recordings_len, cdr);
	log_info("call.recovered", "a call that the last process left was ended",
		 kv_text("linkedid", cdr->linkedid));
	post_cdr(engine, cdr, call_id);
}

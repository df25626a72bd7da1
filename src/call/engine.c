/* SPDX-License-Identifier: Apache-2.0 */
#include "call/engine.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "call/call.h"
#include "call/cdr.h"
#include "sip/sdesc.h"
#include "snapshot/snapshot.h"

#define CALL_BUCKETS  4096
#define USAGE_BUCKETS 4096

/* Active calls of one extension; exists while there are any. */
struct usage {
	struct le he;
	int64_t extension_id;
	uint32_t calls;
};

static void usage_destructor(void *arg)
{
	struct usage *usage = arg;

	hash_unlink(&usage->he);
}

static void forget(struct engine_ended *ended)
{
	for (size_t i = 0; i < ended->n; i++)
		mem_deref(ended->callids[i]);
	ended->callids = mem_deref(ended->callids);
	ended->n = 0;
}

static void engine_destructor(void *arg)
{
	struct engine *engine = arg;

	for (size_t i = 0; i < ENGINE_REMEMBERED; i++)
		forget(&engine->ended[i]);
	tmr_cancel(&engine->unsafe_look);
	list_flush(&engine->recordings);
	list_flush(&engine->studios);
	list_flush(&engine->unsafe_cdrs);
	hash_flush(engine->usage);
	mem_deref(engine->usage);
	mem_deref(engine->by_linkedid);
	mem_deref(engine->sdp_buf);
	mem_deref(engine->cdr_buf);
	mem_deref(engine->record_buf);
}

int engine_alloc(struct engine **ret, const struct engine_opts *opts)
{
	struct engine *engine = mem_zalloc(sizeof(*engine), engine_destructor);
	uint64_t born_us;
	int err;

	if (!engine)
		return -ENOMEM;

	engine->o = *opts;
	tmr_init(&engine->unsafe_look);
	list_init(&engine->calls);

	/* Ids start after the second of birth, and where a process that was killed in that same second cannot
	 * have come, who made less than a call in each microsecond (D-208). */
	born_us = (uint64_t)clk_wall_us();
	engine->first_epoch_s = (int64_t)(born_us / 1000000) + 1;
	engine->call_counter = born_us % 1000000;
	engine->next_call_id = ((uint64_t)engine->first_epoch_s << 24) + engine->call_counter;
	engine->sdp_buf = mem_zalloc(SDESC_MAX_BYTES, NULL);
	engine->cdr_buf = mem_zalloc(sizeof(struct cdr), NULL);
	engine->record_buf = mem_zalloc(CDR_RECORD_MAX_BYTES, NULL);

	err = err_from_re(hash_alloc(&engine->by_linkedid, CALL_BUCKETS));
	if (!err)
		err = err_from_re(hash_alloc(&engine->usage, USAGE_BUCKETS));
	if (!err && (!engine->sdp_buf || !engine->cdr_buf || !engine->record_buf))
		err = -ENOMEM;
	if (err) {
		mem_deref(engine);
		return err;
	}

	*ret = engine;
	return 0;
}

void engine_free(struct engine *engine)
{
	mem_deref(engine);
}

void engine_invite(const struct sip_msg *msg, const struct snap_account *account, void *arg)
{
	struct engine *engine = arg;
	int err;

	err = call_incoming(engine, msg, account);
	if (!err)
		return;

	engine->calls_refused++;
	log_warn("call.refused", "an INVITE could not become a call",
		 kv_text("account", account->username), kv_sa("src", &msg->src), kv_err(err));
}

static bool linkedid_cmp(struct le *le, void *arg)
{
	const struct call *call = le->data;

	return !strcmp(call->linkedid, arg);
}

struct call *engine_call_find(const struct engine *engine, const char *linkedid)
{
	return list_ledata(hash_lookup(engine->by_linkedid, hash_joaat_str(linkedid), linkedid_cmp,
				       (void *)linkedid));
}

void engine_hangup_all(struct engine *engine)
{
	engine->draining = true;

	for (struct le *le = engine->calls.head; le; le = le->next)
		call_hangup(le->data);
}

void engine_unique_id(struct engine *engine, char *buf, size_t size)
{
	int64_t now_s = clk_wall_s();

	if (now_s < engine->first_epoch_s)
		now_s = engine->first_epoch_s;

	(void)re_snprintf(buf, size, "%lld.%llu", (long long)now_s,
			  (unsigned long long)engine->call_counter++);
}

void engine_remember(struct engine *engine, struct call *call)
{
	struct engine_ended *ended = &engine->ended[engine->next_ended++ % ENGINE_REMEMBERED];

	forget(ended);
	ended->callids = mem_alloc(sizeof(call->callids), NULL);
	if (!ended->callids)
		return;

	str_ncpy(ended->linkedid, call->linkedid, sizeof(ended->linkedid));
	memcpy(ended->callids, call->callids, sizeof(call->callids));
	ended->n = call->n_callids;
	call->n_callids = 0;
}

const char *const *engine_callids(const struct engine *engine, const char *linkedid, size_t *n)
{
	const struct call *call = engine_call_find(engine, linkedid);

	if (call) {
		*n = call->n_callids;
		return (const char *const *)call->callids;
	}

	for (size_t i = 0; i < ENGINE_REMEMBERED; i++) {
		const struct engine_ended *ended = &engine->ended[i];

		if (ended->n && !strcmp(ended->linkedid, linkedid)) {
			*n = ended->n;
			return (const char *const *)ended->callids;
		}
	}

	return NULL;
}

static bool usage_cmp(struct le *le, void *arg)
{
	const struct usage *usage = le->data;

	return usage->extension_id == *(const int64_t *)arg;
}

static struct usage *usage_find(const struct engine *engine, const struct snap_extension *extension)
{
	int64_t id = extension->id;

	return list_ledata(hash_lookup(engine->usage, (uint32_t)id, usage_cmp, &id));
}

uint32_t engine_usage(const struct engine *engine, const struct snap_extension *extension)
{
	const struct usage *usage = usage_find(engine, extension);

	return usage ? usage->calls : 0;
}

void engine_usage_add(struct engine *engine, const struct snap_extension *extension)
{
	struct usage *usage = usage_find(engine, extension);

	if (!usage) {
		usage = mem_zalloc(sizeof(*usage), usage_destructor);
		if (!usage)
			return; /* a limit that counts one too few beats a lost call */
		usage->extension_id = extension->id;
		hash_append(engine->usage, (uint32_t)extension->id, &usage->he, usage);
	}

	usage->calls++;
}

void engine_usage_remove(struct engine *engine, const struct snap_extension *extension)
{
	struct usage *usage = usage_find(engine, extension);

	if (usage && --usage->calls == 0)
		mem_deref(usage);
}

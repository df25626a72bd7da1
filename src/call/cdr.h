/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_CDR_H
#define AOIDE_CALL_CDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Call detail records: one row per call (PLT-59), one per step of its path (PLT-60). This module
 * owns tables cdr and cdr_detail: it packs a record for the writer, applies it, and answers the
 * queries of the REST API (PUB-04..06). Times are UTC microseconds, 0 absent.
 */
struct db;

#define CDR_MAX_DETAILS 64
#define CDR_TEXT	80
#define CDR_QUALITY	1200

struct cdr_detail {
	char source_num[CDR_TEXT];
	bool anonymous;
	char destination_type[16]; /* PLT-61 */
	char destination_id[CDR_TEXT], destination_name[CDR_TEXT], destination_num[CDR_TEXT];
	int64_t enter_us, enqueue_us, answer_us, exit_us;
	char exit_cause[24]; /* PLT-63 */
	char answered_by[CDR_TEXT];
	char mapped_source_num[CDR_TEXT], mapped_dst_num[CDR_TEXT], account_code[CDR_TEXT];
};

struct cdr {
	int64_t tenant_id;
	char unique_id[40], linkedid[40]; /* D-208: "<epoch seconds>.<counter>" */
	char call_uuid[40];
	char source_type[16], destination_type[16]; /* PLT-61 */
	char status[16];			    /* PLT-62 */
	int64_t start_us, channel_up_us, answer_us, end_us;
	char caller[CDR_TEXT], caller_name[CDR_TEXT];
	bool anonymous;
	char called[CDR_TEXT], called_name[CDR_TEXT];
	char answered_by[CDR_TEXT], gateway_name[CDR_TEXT], account_code[CDR_TEXT];
	char src_peer_name[CDR_TEXT]; /* SIP account */
	char src_ip_port[64], src_extension[CDR_TEXT];
	uint16_t sip_code;
	uint8_t q850;
	char quality[CDR_QUALITY]; /* JSON text: how each leg sounded (docs/quality.md) */
	size_t n_details;
	struct cdr_detail details[CDR_MAX_DETAILS];
};

enum { CDR_RECORD = 200 };
#define CDR_RECORD_MAX_BYTES (64 * 1024)

int cdr_migrate(struct db *db);

/* Packs into buf (versioned, only what is set); returns the length or -EMSGSIZE. */
int cdr_pack(const struct cdr *cdr, void *buf, size_t size);
/* The reverse, of bytes that may be anything (they come from a file). Fields that a newer program
 * has added are passed over. -EBADMSG when it is not a whole record. */
int cdr_unpack(struct cdr *cdr, const void *data, size_t len);
/* Inserts what cdr_pack made; a second insert of the same unique_id changes nothing. */
int cdr_writer_apply(struct db *db, uint32_t kind, const void *data, size_t len);

/* Removes the calls that ended before before_us, with their details, in small transactions (D-214).
 * deleted: how many calls. */
int cdr_purge(struct db *db, int64_t before_us, int64_t *deleted);

/* ------------------------------------------------------------------ reading (web workers) */

struct cdr_query {
	int64_t tenant_id;	/* 0: all tenants */
	int64_t from_us, to_us; /* on the end of the call (D-209), to_us exclusive; 0: open */
	const char *unique_id;	/* or NULL */
	const char *extension;	/* only calls that it made, that rang it or that it took */
	int limit, offset;	/* 0: no limit */
};

/*
 * Newest first (by start, D-209). h is called with each complete record, borrowed for the call;
 * what it returns stops the walk when it is not 0 and is returned. Without `details`, n_details
 * is 0. Rows are read in pages: memory does not grow with the answer, and h may use db.
 */
typedef int(cdr_row_h)(const struct cdr *cdr, void *arg);
int cdr_select(struct db *db, const struct cdr_query *query, bool details, cdr_row_h *h, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "call/cdr.h"
#include "db/db.h"
#include "db/writer.h"

/*
 * What one call record costs on its way into the database: CPU of the call thread and of all
 * threads, and the time until it is safe. 1,000 records a second for five seconds, on SQLite in a
 * temporary folder (or below the first argument). Prints one JSON object.
 */
#define RATE	1000
#define SECONDS 5

static double cpu_ms(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);

	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

static double now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);

	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int apply(struct db *db, uint32_t kind, const void *data, size_t len, void *arg)
{
	return cdr_writer_apply(db, kind, data, len);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void fill(struct cdr *cdr, int n)
{
	memset(cdr, 0, offsetof(struct cdr, details) + sizeof(cdr->details[0]));
	cdr->tenant_id = 1;
	(void)snprintf(cdr->unique_id, sizeof(cdr->unique_id), "1463997154.%d", n);
	(void)snprintf(cdr->linkedid, sizeof(cdr->linkedid), "1463997154.%d", n);
	(void)snprintf(cdr->source_type, sizeof(cdr->source_type), "local_exten");
	(void)snprintf(cdr->destination_type, sizeof(cdr->destination_type), "local_exten");
	(void)snprintf(cdr->status, sizeof(cdr->status), "OK");
	(void)snprintf(cdr->caller, sizeof(cdr->caller), "%d", 1000 + n % 1000);
	(void)snprintf(cdr->called, sizeof(cdr->called), "2000");
	(void)snprintf(cdr->src_peer_name, sizeof(cdr->src_peer_name), "1000-0");
	(void)snprintf(cdr->src_ip_port, sizeof(cdr->src_ip_port), "192.0.2.1:5060");
	cdr->start_us = 1463997154000000 + n;
	cdr->answer_us = cdr->start_us + 1;
	cdr->end_us = cdr->start_us + 2;
	cdr->n_details = 1;
	(void)snprintf(cdr->details[0].destination_type, 16, "local_exten");
	(void)snprintf(cdr->details[0].destination_num, CDR_TEXT, "2000");
	(void)snprintf(cdr->details[0].exit_cause, 24, "NCC");
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, err_text(err));
	exit(1);
}

/* Posts at the rate; the longest time from a post to its acknowledgement is sampled on the way. */
static double run(struct writer *w, struct cdr *cdr, double *post_ms)
{
	static uint8_t buf[CDR_RECORD_MAX_BYTES];
	double start = now_ms(), slowest = 0, watched_at = 0;
	uint64_t seq = 0, watched = 0;

	for (int n = 0; n < RATE * SECONDS; n++) {
		double before;
		int len;

		while (now_ms() < start + n * 1000.0 / RATE)
			(void)usleep(200);
		if (watched && writer_acked(w) >= watched) {
			slowest = now_ms() - watched_at > slowest ? now_ms() - watched_at : slowest;
			watched = 0;
		}

		before = cpu_ms(RUSAGE_THREAD);
		fill(cdr, n);
		len = cdr_pack(cdr, buf, sizeof(buf));
		must(writer_post(w, CDR_RECORD, buf, (size_t)len, &seq), "post");
		*post_ms += cpu_ms(RUSAGE_THREAD) - before;
		if (!watched) {
			watched = seq;
			watched_at = now_ms();
		}
	}

	return slowest;
}

int main(int argc, char **argv)
{
	struct writer_opts opts = { .name = "bench", .apply_h = apply };
	char dir[200], path[256], text[300];
	struct cdr *cdr = calloc(1, sizeof(*cdr));
	struct writer_stats stats;
	struct writer *w = NULL;
	struct db *db = NULL;
	double all, thread, post = 0, slowest;
	int64_t rows = 0;

	(void)snprintf(dir, sizeof(dir), "%s/aoide-bench-XXXXXX", argc > 1 ? argv[1] : "/tmp");
	must(cdr && mkdtemp(dir) ? 0 : -errno, "temporary folder");
	(void)snprintf(path, sizeof(path), "%s/bench.db", dir);
	must(db_open(&db, path, text, sizeof(text)), path);
	must(cdr_migrate(db), "tables");
	opts.journal_dir = dir;
	opts.db_url = path;
	must(writer_start(&w, &opts), "writer");

	all = cpu_ms(RUSAGE_SELF);
	thread = cpu_ms(RUSAGE_THREAD);
	slowest = run(w, cdr, &post);
	thread = cpu_ms(RUSAGE_THREAD) - thread;
	all = cpu_ms(RUSAGE_SELF) - all - thread;
	writer_stats(w, &stats);
	writer_stop(w, 20000);
	must(db_query_i64(&rows, db, "SELECT COUNT(*) FROM cdr", DB_NO_ARGS), "count");
	(void)printf("{\"bench\": \"writer\", \"cores\": %ld, \"records\": %d, \"per_second\": %d,"
		     " \"post_us\": %.1f, \"threads_us_per_record\": %.1f,"
		     " \"slowest_ack_ms\": %.1f, \"waiting_at_end\": %" PRIu64
		     ", \"stored\": %" PRId64 "}\n",
		     sysconf(_SC_NPROCESSORS_ONLN), RATE * SECONDS, RATE,
		     post * 1e3 / (RATE * SECONDS), all * 1e3 / (RATE * SECONDS), slowest,
		     stats.posted - stats.applied, rows);
	db_close(db);
	free(cdr);
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);

	return rows == RATE * SECONDS ? 0 : 1;
}

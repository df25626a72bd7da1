/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <signal.h>
#include <sys/wait.h>
#include "db/db.h"
#include "db/writer.h"
#include "testdb.h"

static int apply(struct db *db, uint32_t kind, const void *data, size_t len, void *arg)
{
	(void)arg;
	return reg_writer_apply(db, kind, data, len);
}

static struct writer *start_writer(const struct testdb *t)
{
	struct writer *writer = NULL;
	char dir[256];

	snprintf(dir, sizeof(dir), "%s/journal", t->dir);
	assert_int_equal(writer_start(&writer, &(struct writer_opts){ .journal_dir = dir,
						       .name = "switch", .db_url = t->url,
						       .apply_h = apply }),
			 0);
	return writer;
}

static struct fix *open_with(struct writer *writer)
{
	struct fix *fix = fix_open();

	edge_close(fix->edge);
	fix->opts.writer = writer;
	fix_start(fix);
	return fix;
}

static int64_t stored(struct db *db)
{
	int64_t n = -1;

	assert_int_equal(db_query_i64(&n, db, "SELECT COUNT(*) FROM registration", DB_NO_ARGS), 0);
	return n;
}

/* As after a start: no contacts but those in the database. */
static void restart(struct fix *fix, struct db *db)
{
	edge_close(fix->edge);
	fix_start(fix);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	assert_int_equal(reg_load(fix_reg(fix), db), 0);
}

static void contacts_survive_a_restart(void **state)
{
	struct testdb *t = *state;
	const struct reg_contact *c[1];
	struct writer *writer;
	struct fix *fix;
	struct sa src;
	int tcp;

	assert_int_equal(reg_migrate(t->db), 0);
	writer = start_writer(t);
	fix = open_with(writer);
	fix->accounts[2].nat = true;
	assert_int_equal(fix_auth(fix, fix->fd,
				  &(struct fix_req){ .method = "REGISTER", .user = "a0", .callid = "c0",
					  .cseq = 7,
					  .extra = "Contact: <sip:x@127.0.0.1:5070>;q=0.5\r\n"
						   "User-Agent: Desk 1\r\nPath: <sip:p.example;lr>\r\n" },
				  DIGEST_SHA256, "pw"),
			 200);
	tcp = fix_tcp(fix, fix->port);
	fix->accounts[1].nat = true;
	assert_int_equal(fix_register(fix, tcp, "a1", "<sip:y@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a2", "<sip:z@10.1.1.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a3", "<sip:z@10.1.1.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a3", "*", 0, 2), 200);
	assert_int_equal(fix_register(fix, tcp, "a3", "<sip:z@127.0.0.1:5074>", 3600, 3), 200);
	writer_stop(writer, 5000);
	fix->opts.writer = NULL;
	assert_int_equal(stored(t->db), 4);

	/* The TCP connections died with the process: who is not behind NAT listens at his Contact. */
	restart(fix, t->db);
	assert_int_equal(reg_count(fix_reg(fix)), 3);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[1], c, 1), 0);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[3], c, 1), 1);
	sa_set_str(&src, "127.0.0.1", 5074);
	assert_true(sa_cmp(&c[0]->dst, &src, SA_ALL));
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, 1), 1);
	assert_string_equal(c[0]->uri, "sip:x@127.0.0.1:5070");
	assert_string_equal(c[0]->user_agent, "Desk 1");
	assert_string_equal(c[0]->path, "<sip:p.example;lr>");
	assert_string_equal(c[0]->username, "a0");
	sa_set_str(&src, "127.0.0.1", fix->fd_port);
	assert_true(reg_source_matches(fix_reg(fix), &fix->accounts[0], &src, SIP_TRANSP_UDP));
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[2], c, 1), 1);
	assert_true(sa_cmp(&c[0]->dst, &src, SA_ALL));

	/* The order of requests, and the algorithm, are remembered too. */
	assert_int_equal(fix_auth(fix, fix->fd,
				  &(struct fix_req){ .method = "REGISTER", .user = "a0", .callid = "c0",
					  .cseq = 6, .extra = "User-Agent: Desk 1\r\n"
							      "Contact: <sip:x@127.0.0.1:5071>\r\n" },
				  DIGEST_SHA256, "pw"),
			 500);
	assert_true(fix_exchange(fix, fix->fd,
				 fix_print(fix->rx, sizeof(fix->rx), fix,
					   &(struct fix_req){ .method = "REGISTER", .user = "a0",
						   .callid = "c0", .cseq = 8,
						   .extra = "User-Agent: Desk 1\r\n" }, NULL),
				 500));
	assert_true(fix_has(fix, "SHA-256"));
	assert_false(fix_has(fix, "MD5"));
	close(tcp);
	fix_close(fix);
}

static void refreshes_are_written_seldom(void **state)
{
	struct testdb *t = *state;
	struct writer_stats before, after;
	struct writer *writer;
	struct fix *fix;
	int64_t real_us;

	assert_int_equal(reg_migrate(t->db), 0);
	writer = start_writer(t);
	fix = open_with(writer);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	writer_stats(writer, &before);
	for (unsigned i = 2; i < 20; i++)
		assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, i), 200);
	writer_stats(writer, &after);
	assert_int_equal(after.posted, before.posted);

	/* Half an hour later what is stored is off by half of the interval: then it is written. */
	real_us = clk_wall_us();
	clk_drive(real_us);
	clk_advance_ms(1790 * 1000);
	store_refresh(binding_first(fix_reg(fix), 1));
	binding_expire_in(binding_first(fix_reg(fix), 1), 3600);
	store_refresh(binding_first(fix_reg(fix), 1));
	writer_stats(writer, &after);
	assert_int_equal(after.posted, before.posted);
	clk_advance_ms(20 * 1000);
	binding_expire_in(binding_first(fix_reg(fix), 1), 3600);
	store_refresh(binding_first(fix_reg(fix), 1));
	writer_stats(writer, &after);
	assert_int_equal(after.posted, before.posted + 1);
	clk_release();

	/* Another place is written at once. */
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5071>", 3600, 30), 200);
	writer_stats(writer, &before);
	assert_true(before.posted > after.posted);
	writer_stop(writer, 5000);
	fix->opts.writer = NULL;
	assert_int_equal(stored(t->db), 1);
	fix_close(fix);
}

/* What is stored may be older than what was granted: loading forgives as much as writing saves. */
static void loading_drops_what_is_over(void **state)
{
	struct testdb *t = *state;
	struct writer *writer;
	struct fix *fix;
	int64_t now_us;

	assert_int_equal(reg_migrate(t->db), 0);
	writer = start_writer(t);
	fix = open_with(writer);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a2", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	writer_stop(writer, 5000);
	fix->opts.writer = NULL;
	now_us = clk_wall_us();
	assert_int_equal(db_exec(t->db, "UPDATE registration SET expires_at_us = $1 WHERE account_id = 1",
				 DB_ARGS(db_i64(now_us - 1700 * 1000000ll))), 0);
	assert_int_equal(db_exec(t->db, "UPDATE registration SET expires_at_us = $1 WHERE account_id = 2",
				 DB_ARGS(db_i64(now_us - 1900 * 1000000ll))), 0);
	fix->accounts[2].enabled = false;
	restart(fix, t->db);
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	assert_non_null(binding_first(fix_reg(fix), 1));
	fix_close(fix);
}

/* A process of its own is killed at once after the record was acknowledged. */
static void contacts_survive_kill_9(void **state)
{
	struct testdb *t = *state;
	struct writer *writer;
	struct fix *fix = fix_open();
	int pipe_fd[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(reg_migrate(t->db), 0);
	edge_close(fix->edge);
	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	if (!pid) {
		libre_close();
		libre_init();
		writer = start_writer(t);
		fix->opts.writer = writer;
		fix_start(fix);
		(void)!write(pipe_fd[1], &fix->port, sizeof(fix->port));
		for (;;) {
			fix_run(5);
			if (writer_acked(writer) >= 2)
				(void)!write(pipe_fd[1], "k", 1);
		}
	}
	assert_int_equal(read(pipe_fd[0], &fix->port, sizeof(fix->port)), sizeof(fix->port));
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:y@127.0.0.1:5071>", 3600, 1), 200);
	assert_int_equal(read(pipe_fd[0], &byte, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);

	writer = start_writer(t); /* replays the journal */
	writer_stop(writer, 5000);
	assert_int_equal(stored(t->db), 2);
	fix_start(fix);
	assert_int_equal(reg_load(fix_reg(fix), t->db), 0);
	assert_int_equal(reg_count(fix_reg(fix)), 2);
	assert_string_equal(binding_first(fix_reg(fix), 2)->c.uri, "sip:y@127.0.0.1:5071");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	fix_close(fix);
}

static void broken_records_are_refused(void **state)
{
	struct testdb *t = *state;
	uint8_t junk[256];

	assert_int_equal(reg_migrate(t->db), 0);
	for (size_t len = 0; len < sizeof(junk); len += 5) {
		memset(junk, 1, sizeof(junk));
		assert_int_equal(reg_writer_apply(t->db, REG_RECORD_PUT, junk, len), -EINVAL);
	}
	assert_int_equal(reg_writer_apply(t->db, REG_RECORD_REMOVE, junk, 3), -EINVAL);
	assert_int_equal(reg_writer_apply(t->db, REG_RECORD_LAST, junk, 8), -EINVAL);
	assert_int_equal(stored(t->db), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTDB_BOTH("[BASE-30] contacts survive a restart", contacts_survive_a_restart),
		TESTDB_BOTH("refreshes are written when the stored expiry is far off",
			    refreshes_are_written_seldom),
		TESTDB_BOTH("loading drops what is over or not allowed any more", loading_drops_what_is_over),
		TESTDB_BOTH("[BASE-30] contacts survive kill -9", contacts_survive_kill_9),
		TESTDB_BOTH("broken records are refused", broken_records_are_refused),
	};

	return testdb_run(tests);
}

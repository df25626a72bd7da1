/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <poll.h>

static const struct reg_contact *only_contact(const struct fix *fix, size_t account)
{
	const struct reg_contact *c[REG_MAX_CONTACTS];

	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[account], c, REG_MAX_CONTACTS), 1);
	return c[0];
}

static void contact_is(const struct fix *fix, size_t account, const char *uri)
{
	assert_string_equal(only_contact(fix, account)->uri, uri);
}

static unsigned register_with(struct fix *fix, const char *user, const char *callid, unsigned cseq,
			      const char *extra)
{
	return fix_auth(fix, fix->fd,
			&(struct fix_req){ .method = "REGISTER", .user = user, .callid = callid,
				.cseq = cseq, .extra = extra },
			DIGEST_MD5, "pw");
}

/* Lets the clock stand, moves it and runs what is due. */
static void advance(struct fix *fix, uint64_t ms)
{
	clk_drive(clk_wall_us());
	clk_advance_ms(ms);
	registrar_tick(fix_reg(fix));
}

static void effective_expiry_is_granted(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_true(fix_has(fix, ";expires=3600\r\n"));
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 99999, 2), 200);
	assert_true(fix_has(fix, ";expires=3600\r\n"));
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>;expires=120", 600, 3),
			 200);
	assert_true(fix_has(fix, ";expires=120\r\n"));
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", -1, 4), 200);
	assert_true(fix_has(fix, ";expires=3600\r\n"));
	assert_int_equal(register_with(fix, "a0", "a0", 5,
				       "Contact: <sip:x@127.0.0.1:5070>\r\nExpires: soon\r\n"), 200);
	assert_true(fix_has(fix, ";expires=3600\r\n"));
	assert_int_equal(reg_count(fix_reg(fix)), 1);
}

static void brief_interval_is_423(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 59, 1), 423);
	assert_true(fix_has(fix, "Min-Expires: 60\r\n"));
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 60, 2), 200);
}

static void expiry_discards_the_contact(void **state)
{
	struct fix *fix = *state;
	const struct reg_contact *c[1];

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 60, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:y@127.0.0.1:5070>", 3600, 1), 200);
	advance(fix, 59000);
	assert_int_equal(reg_count(fix_reg(fix)), 2);
	clk_advance_ms(1500);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, 1), 0);
	registrar_tick(fix_reg(fix));
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	assert_non_null(strstr(fix->changes, "expired a0\n"));
	clk_advance_ms(3540u * 1000); /* more than a turn of the wheel */
	registrar_tick(fix_reg(fix));
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	clk_release();
}

static void last_register_wins(void **state)
{
	struct fix *fix = *state;

	for (unsigned i = 0; i < 4; i++) {
		char uri[64], callid[16];

		snprintf(uri, sizeof(uri), "<sip:x@127.0.0.1:%u>", 5070 + i % 2);
		snprintf(callid, sizeof(callid), "phone%u", i % 2);
		fix->changes[0] = '\0';
		assert_int_equal(fix_auth(fix, fix->fd,
					  &(struct fix_req){ .method = "REGISTER", .user = "a0",
						  .callid = callid, .cseq = i + 1,
						  .extra = i % 2 ? "Contact: <sip:x@127.0.0.1:5071>\r\n" :
								   "Contact: <sip:x@127.0.0.1:5070>\r\n" },
					  DIGEST_MD5, "pw"),
				 200);
		assert_int_equal(reg_count(fix_reg(fix)), 1);
		contact_is(fix, 0, i % 2 ? "sip:x@127.0.0.1:5071" : "sip:x@127.0.0.1:5070");
		assert_string_equal(fix->changes, i ? "registered a0\nreplaced a0\n" : "registered a0\n");
	}
	/* Another account has its own. */
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:z@127.0.0.1:5072>", 3600, 1), 200);
	contact_is(fix, 0, "sip:x@127.0.0.1:5071");
	contact_is(fix, 1, "sip:z@127.0.0.1:5072");
}

static void max_contacts_keeps_the_newest(void **state)
{
	struct fix *fix = *state;
	const struct reg_contact *c[REG_MAX_CONTACTS];
	char extra[128], callid[16];

	fix->accounts[0].max_contacts = 2;
	for (unsigned i = 0; i < 3; i++) {
		snprintf(extra, sizeof(extra), "Contact: <sip:x@127.0.0.1:%u>\r\n", 5070 + i);
		snprintf(callid, sizeof(callid), "phone%u", i);
		assert_int_equal(register_with(fix, "a0", callid, 1, extra), 200);
		fix_run(5);
	}
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, REG_MAX_CONTACTS), 2);
	assert_string_equal(c[0]->uri, "sip:x@127.0.0.1:5072");
	assert_string_equal(c[1]->uri, "sip:x@127.0.0.1:5071");
	/* The answer lists both. */
	assert_true(fix_has(fix, "5071>;expires=") && fix_has(fix, "5072>;expires="));
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, 1), 1);
}

static void phone_that_moved_replaces_itself(void **state)
{
	struct fix *fix = *state;
	const struct reg_contact *c[REG_MAX_CONTACTS];

	fix->accounts[0].max_contacts = 5;
	assert_int_equal(register_with(fix, "a0", "same", 1, "Contact: <sip:x@127.0.0.1:5070>\r\n"), 200);
	assert_int_equal(register_with(fix, "a0", "same", 2, "Contact: <sip:x@127.0.0.1:5071>\r\n"), 200);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, REG_MAX_CONTACTS), 1);
	assert_int_equal(register_with(fix, "a0", "c3", 1,
				       "Contact: <sip:x@127.0.0.1:5072>;+sip.instance=\"<urn:uuid:1>\"\r\n"),
			 200);
	assert_int_equal(register_with(fix, "a0", "c4", 1,
				       "Contact: <sip:x@127.0.0.1:5073>;+sip.instance=\"<urn:uuid:1>\"\r\n"),
			 200);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, REG_MAX_CONTACTS), 2);
}

static void several_contacts_in_one_request(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(register_with(fix, "a0", "c", 1,
				       "Contact: <sip:x@127.0.0.1:5070>;q=0.3, <sip:x@127.0.0.1:5071>;q=0.9\r\n"
				       "Contact: <sip:x@127.0.0.1:5072>;q=0.5\r\n"),
			 200);
	contact_is(fix, 0, "sip:x@127.0.0.1:5071");
	assert_true(fix_has(fix, ";q=0.900"));
	fix->accounts[0].max_contacts = 3;
	assert_int_equal(register_with(fix, "a0", "d", 2,
				       "Contact: <sip:x@127.0.0.1:5073>;q=0.1, <sip:x@127.0.0.1:5071>;expires=0\r\n"),
			 200);
	contact_is(fix, 0, "sip:x@127.0.0.1:5073");
}

static void too_many_contacts_change_nothing(void **state)
{
	struct fix *fix = *state;
	char extra[1024] = "";

	for (unsigned i = 0; i <= REG_MAX_CONTACTS; i++)
		sprintf(extra + strlen(extra), "Contact: <sip:x@127.0.0.1:%u>\r\n", 5070 + i);
	assert_int_equal(register_with(fix, "a0", "c", 1, extra), 400);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
}

static void fetch_lists_without_changing(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(register_with(fix, "a0", "c", 1, NULL), 200);
	assert_false(fix_has(fix, "Contact:"));
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(register_with(fix, "a0", "c", 2, NULL), 200);
	assert_true(fix_has(fix, "Contact: <sip:x@127.0.0.1:5070>;expires="));
}

static void unregister_by_contact_and_by_star(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:other@127.0.0.1:5070>", 0, 2), 200);
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 0, 3), 200);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 4), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "*", 3600, 5), 400);
	assert_int_equal(register_with(fix, "a0", "c", 1, "Contact: *\r\n"), 400);
	assert_int_equal(register_with(fix, "a0", "c", 1,
				       "Contact: *\r\nContact: <sip:x@127.0.0.1>\r\nExpires: 0\r\n"), 400);
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "*", 0, 6), 200);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	assert_string_equal(fix->changes,
			    "registered a0\nunregistered a0\nregistered a0\nunregistered a0\n");
}

static void older_cseq_of_the_same_phone_is_refused(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(register_with(fix, "a0", "c", 9, "Contact: <sip:x@127.0.0.1:5070>\r\n"), 200);
	assert_int_equal(register_with(fix, "a0", "c", 8, "Contact: <sip:x@127.0.0.1:5071>\r\n"), 500);
	contact_is(fix, 0, "sip:x@127.0.0.1:5070");
	assert_int_equal(register_with(fix, "a0", "d", 1, "Contact: <sip:x@127.0.0.1:5071>\r\n"), 200);
	contact_is(fix, 0, "sip:x@127.0.0.1:5071");
}

static void broken_contacts_are_400(void **state)
{
	static const char *const broken[] = {
		"Contact: <>\r\n", "Contact: \"x\r\n", "Contact: <tel:+390212345>\r\n",
		"Contact: <http://x/>\r\n", "Contact: sip:\r\n", "Contact: <sip:x@h y>\r\n",
	};
	struct fix *fix = *state;
	char extra[1024];

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		assert_int_equal(register_with(fix, "a0", "c", (unsigned)i + 1, broken[i]), 400);
	snprintf(extra, sizeof(extra), "Contact: <sip:%0600d@127.0.0.1>\r\n", 1);
	assert_int_equal(register_with(fix, "a0", "c", 90, extra), 400);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
}

static void nat_uses_the_source(void **state)
{
	struct fix *fix = *state;
	const struct reg_contact *c;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@10.1.2.3:5062>", 3600, 1), 200);
	c = only_contact(fix, 0);
	assert_int_equal(sa_port(&c->dst), 5062);
	assert_int_equal(sa_in(&c->dst), 0x0a010203);
	assert_int_equal(sa_port(&c->src), fix->fd_port);

	fix->accounts[0].nat = true;
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@10.1.2.3:5062>", 3600, 2), 200);
	c = only_contact(fix, 0);
	assert_int_equal(sa_port(&c->dst), fix->fd_port);
	assert_int_equal(sa_in(&c->dst), INADDR_LOOPBACK);
	assert_string_equal(c->uri, "sip:x@10.1.2.3:5062");
}

/* Without rport a reply goes to the port in Via, but for an account behind a NAT. */
static void nat_replies_to_the_source(void **state)
{
	struct fix *fix = *state;
	char buf[2048], *rport;
	const struct fix_req req = { .method = "REGISTER", .user = "a0", .callid = "n", .cseq = 1 };
	uint16_t other_port;
	int other = fix_socket(SOCK_DGRAM, &other_port);

	fix_print(buf, sizeof(buf), fix, &req, NULL);
	rport = strstr(buf, ";rport");
	memmove(rport, rport + 6, strlen(rport + 6) + 1);
	assert_true(fix_exchange(fix, fix->fd, buf, 500));
	fix_send(fix, other, buf, strlen(buf)); /* Via says fix->fd's port */
	assert_true(fix_wait(fix, fix->fd, 500));
	fix->accounts[0].nat = true;
	fix_send(fix, other, buf, strlen(buf));
	assert_true(fix_wait(fix, other, 500));
	assert_int_equal(fix_status(fix), 401);
	close(other);
}

static void set_net(struct snap_net *net, const char *addr, uint8_t prefix)
{
	struct sa sa;

	assert_int_equal(sa_set_str(&sa, addr, 0), 0);
	edge_addr16(net->addr, &sa);
	net->prefix = prefix;
}

static void acl_is_checked(void **state)
{
	struct fix *fix = *state;
	struct snap_net net;

	set_net(&net, "10.0.0.0", 96 + 8);
	fix->accounts[0].acl_contact = &net;
	fix->accounts[0].n_acl_contact = 1;
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@192.168.1.1:5062>", 3600, 1), 403);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@name.invalid>", 3600, 2), 403);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@10.200.1.1:5062>", 3600, 3), 200);

	fix->accounts[1].acl_source = &net;
	fix->accounts[1].n_acl_source = 1;
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@10.2.1.1:5062>", 3600, 1), 403);
	set_net(&net, "127.0.0.1", 128);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@10.2.1.1:5062>", 3600, 2), 200);
}

static void path_is_stored_and_told(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(register_with(fix, "a0", "c", 1,
				       "Contact: <sip:x@127.0.0.1:5070>\r\nSupported: path\r\n"
				       "Path: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n"),
			 200);
	assert_string_equal(only_contact(fix, 0)->path, "<sip:p1.example;lr>, <sip:p2.example;lr>");
	assert_true(fix_has(fix, "Path: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n"));
}

static void source_of_the_registration_matches(void **state)
{
	struct fix *fix = *state;
	struct sa sa;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	sa_set_str(&sa, "127.0.0.1", fix->fd_port);
	assert_true(reg_source_matches(fix_reg(fix), &fix->accounts[0], &sa, SIP_TRANSP_UDP));
	assert_false(reg_source_matches(fix_reg(fix), &fix->accounts[0], &sa, SIP_TRANSP_TCP));
	assert_false(reg_source_matches(fix_reg(fix), &fix->accounts[1], &sa, SIP_TRANSP_UDP));
	sa_set_port(&sa, (uint16_t)(fix->fd_port + 1));
	assert_false(reg_source_matches(fix_reg(fix), &fix->accounts[0], &sa, SIP_TRANSP_UDP));
}

static void snapshot_change_drops_who_may_no_more(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a2", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	fix->accounts[0].enabled = false;
	fix->accounts[1].transports = 1 << SNAP_TLS;
	reg_snapshot_changed(fix_reg(fix), 2);
	assert_int_equal(reg_count(fix_reg(fix)), 3);
	reg_snapshot_changed(fix_reg(fix), 1);
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	contact_is(fix, 2, "sip:x@127.0.0.1:5070");
}

/* ------------------------------------------------------------------ connections, keep-alive */

static unsigned register_tcp(struct fix *fix, int fd, const char *contact, unsigned cseq)
{
	char extra[128];

	snprintf(extra, sizeof(extra), "Contact: %s\r\n", contact);
	return fix_auth(fix, fd,
			&(struct fix_req){ .method = "REGISTER", .user = "a0", .callid = "t",
				.cseq = cseq, .extra = extra, .tp = "TCP" },
			DIGEST_MD5, "pw");
}

static void lost_connection_ends_the_registration(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);

	fix->accounts[0].nat = true;
	assert_int_equal(register_tcp(fix, fd, "<sip:x@10.1.2.3:5062;transport=tcp>", 1), 200);
	assert_int_equal(only_contact(fix, 0)->tp, SIP_TRANSP_TCP);
	close(fd);
	fix_run(50);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
	assert_non_null(strstr(fix->changes, "expired a0\n"));
}

static void lost_connection_of_a_listening_phone_uses_its_contact(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);
	struct sa sa;

	assert_int_equal(register_tcp(fix, fd, "<sip:x@127.0.0.1:5062;transport=tcp>", 1), 200);
	assert_int_not_equal(sa_port(&only_contact(fix, 0)->dst), 5062);
	close(fd);
	fix_run(50);
	sa_set_str(&sa, "127.0.0.1", 5062);
	assert_true(sa_cmp(&only_contact(fix, 0)->dst, &sa, SA_ALL));
}

static void nat_contact_is_kept_alive(void **state)
{
	struct fix *fix = *state;
	bool crlf = false, options = false;

	fix->accounts[0].nat = true;
	fix->sip->options_interval_s = 1;
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@10.1.2.3:5062>", 3600, 1), 200);
	for (unsigned i = 0; i < 12 && !(crlf && options && only_contact(fix, 0)->rtt_us); i++) {
		if (!fix_wait(fix, fix->fd, 500))
			continue;
		if (!strcmp(fix->rx, "\r\n\r\n"))
			crlf = true;
		if (!strncmp(fix->rx, "OPTIONS sip:x@10.1.2.3:5062 SIP/2.0\r\n", 37)) {
			char reply[2048], *end;

			options = true;
			end = strstr(fix->rx, "\r\nMax-Forwards");
			assert_non_null(end);
			snprintf(reply, sizeof(reply), "SIP/2.0 200 OK%s", strstr(fix->rx, "\r\n"));
			fix_send(fix, fix->fd, reply, strlen(reply));
		}
	}
	assert_true(options);
	assert_true(crlf);
	assert_true(only_contact(fix, 0)->rtt_us > 0);
	assert_true(only_contact(fix, 0)->rtt_us < 2000000);
}

static void keepalive_of_a_phone_is_answered(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);

	assert_true(fix_exchange(fix, fd, "\r\n\r\n", 500)); /* RFC 5626 section 4.4.1 */
	assert_string_equal(fix->rx, "\r\n");
	close(fd);
}

#define T(name, f) { name, f, fix_setup, fix_teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T("[BASE-30] the effective expiry is granted: 3600 at most", effective_expiry_is_granted),
		T("[D-077] below 60 s: 423 with Min-Expires", brief_interval_is_423),
		T("[BASE-30] expiry without refresh discards the location", expiry_discards_the_contact),
		T("[BASE-31] two phones alternately: the last REGISTER wins", last_register_wins),
		T("[D-078] max_contacts keeps the newest", max_contacts_keeps_the_newest),
		T("a phone that moved replaces itself", phone_that_moved_replaces_itself),
		T("several contacts: q decides", several_contacts_in_one_request),
		T("too many contacts change nothing", too_many_contacts_change_nothing),
		T("a REGISTER without Contact lists", fetch_lists_without_changing),
		T("unregister by contact and by *", unregister_by_contact_and_by_star),
		T("an older CSeq of the same Call-ID is refused", older_cseq_of_the_same_phone_is_refused),
		T("broken contacts are 400 and change nothing", broken_contacts_are_400),
		T("[BASE-46] with NAT requests go to the packet's source", nat_uses_the_source),
		T("[BASE-46] with NAT replies go to the packet's source", nat_replies_to_the_source),
		T("[BASE-45] source and Contact lists are checked", acl_is_checked),
		T("Path is stored and told (RFC 3327)", path_is_stored_and_told),
		T("[BASE-44] IP, port and transport of the registration match", source_of_the_registration_matches),
		T("a new snapshot drops who may no more", snapshot_change_drops_who_may_no_more),
		T("a lost connection ends the registration", lost_connection_ends_the_registration),
		T("a lost connection of a listening phone uses its Contact",
		  lost_connection_of_a_listening_phone_uses_its_contact),
		T("[D-077] a NAT contact gets CRLF and OPTIONS", nat_contact_is_kept_alive),
		T("a phone's CRLF ping is answered", keepalive_of_a_phone_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

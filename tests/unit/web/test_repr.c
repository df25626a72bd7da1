/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "web/limiter.h"
#include "web/files.h"
#include "web/mask.h"
#include "web/period.h"
#include "web/repr.h"
#include "web/security.h"

#define BOTH (REPR_MASK(REPR_JSON) | REPR_MASK(REPR_XML))

/* Accept headers that real clients send, and what /rest/ answers. */
static void accept_chooses(void **state)
{
	static const struct {
		const char *accept;
		int repr;
	} cases[] = {
		{ NULL, REPR_XML }, { "", REPR_XML }, { "*/*", REPR_XML },
		{ "application/json", REPR_JSON }, { "application/xml", REPR_XML },
		{ "text/xml", REPR_XML }, { "application/json, text/plain, */*", REPR_JSON },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", REPR_XML },
		{ "application/xml, application/json", REPR_XML },
		{ "application/xml;q=0.5, application/json;q=0.9", REPR_JSON },
		{ "application/*", REPR_XML }, { "application/json;q=0, */*", REPR_XML },
		{ "image/png", -ENOENT }, { "APPLICATION/JSON", REPR_JSON },
		{ "application/json;charset=utf-8", REPR_JSON },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(web_repr_choose(cases[i].accept, BOTH, REPR_XML), cases[i].repr);
}

static char *xml_of(const char *json, const char *root)
{
	struct web_text out = { 0 };
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);

	assert_non_null(value);
	web_xml_print(&out, root, value);
	json_decref(value);
	return out.text;
}

static void xml_shape(void **state)
{
	char *text = xml_of("{\"a\":1,\"b\":[true,null,{\"c\":\"<&\\\"\"}],\"1x\":\"\",\"d\":{},\"e\":1.5}",
			    "result");

	assert_string_equal(text,
			    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<result><a>1</a><b><entry>true"
			    "</entry><entry nil=\"true\"/><entry><c>&lt;&amp;&quot;</c></entry></b>"
			    "<_1x></_1x><d></d><e>1.5</e></result>\n");
	free(text);
	text = xml_of("{\"salt\":\"ab\"}", "result");
	assert_non_null(strstr(text, "<result><salt>ab</salt></result>"));
	free(text);
}

static json_t *parse_xml(const char *text)
{
	json_t *value = NULL;
	char why[100] = "";

	assert_int_equal(web_xml_parse(&value, text, strlen(text), why, sizeof(why)), 0);
	return value;
}

static void xml_bodies(void **state)
{
	json_t *body = parse_xml("<?xml version=\"1.0\"?><kpbx_request><cdr>"
				 "<begin>2016-01-12 15:00:00</begin><end>2016-01-12 16:00:00</end></cdr>"
				 "<list><entry>1</entry><entry>2</entry></list><x>1</x><x>2</x><x>3</x>"
				 "<n nil=\"true\"/><t>a &amp; b</t></kpbx_request>");
	char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(text, "{\"cdr\":{\"begin\":\"2016-01-12 15:00:00\",\"end\":\"2016-01-12 "
				  "16:00:00\"},\"list\":[\"1\",\"2\"],\"n\":null,\"t\":\"a & b\","
				  "\"x\":[\"1\",\"2\",\"3\"]}");
	free(text);
	json_decref(body);
	body = parse_xml("<r/>");
	assert_int_equal(json_object_size(body), 0);
	json_decref(body);
}

static void hostile_xml_is_refused(void **state)
{
	static const char *const texts[] = {
		"", "<", "<a>", "<a></b>", "<a>\xff\xfe</a>", "{}", "<a/><b/>",
		/* a billion laughs, an external entity, a parameter entity */
		"<!DOCTYPE a [<!ENTITY b \"c\"><!ENTITY d \"&b;&b;&b;\">]><a>&d;</a>",
		"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
		"<!DOCTYPE a SYSTEM \"http://127.0.0.1/x.dtd\"><a/>", "<a>&undefined;</a>",
	};
	char deep[XML_MAX_DEPTH * 8], why[200], *big;
	json_t *value = NULL;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		why[0] = '\0';
		assert_int_equal(web_xml_parse(&value, texts[i], strlen(texts[i]), why, sizeof(why)),
				 -EINVAL);
		assert_true(strlen(why) > 10);
	}
	/* An empty element with too long a name: its end is reported although parsing stopped. */
	memset(deep, 'o', 80);
	deep[0] = '<';
	memcpy(deep + 80, "/>", 3);
	assert_int_equal(web_xml_parse(&value, deep, 82, why, sizeof(why)), -EINVAL);
	for (int i = 0; i <= XML_MAX_DEPTH; i++)
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "<a>");
	assert_int_equal(web_xml_parse(&value, deep, n, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "deeply"));

	big = malloc(4 * (XML_MAX_ELEMENTS + 10));
	assert_non_null(big);
	n = (size_t)sprintf(big, "<a>");
	for (int i = 0; i <= XML_MAX_ELEMENTS; i++)
		n += (size_t)sprintf(big + n, "<b/>");
	assert_int_equal(web_xml_parse(&value, big, n, why, sizeof(why)), -EINVAL);
	free(big);
	assert_null(value);
}

static void forms(void **state)
{
	static const char good[] = "a=1&b=x+y%26z&list[]=1&list[]=2&o[k]=v&empty=";
	static const char *const bad[] = { "a=%zz", "a=%00", "a=%ff", "a[=1", "a[]=1&a[b]=2", "a=%4" };
	json_t *value = NULL;
	char *text, why[80];

	assert_int_equal(web_form_parse(&value, good, strlen(good), why, sizeof(why)), 0);
	text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, "{\"a\":\"1\",\"b\":\"x y&z\",\"empty\":\"\",\"list\":[\"1\",\"2\"],"
				  "\"o\":{\"k\":\"v\"}}");
	free(text);
	json_decref(value);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(web_form_parse(&value, bad[i], strlen(bad[i]), why, sizeof(why)), -EINVAL);
}

static void languages(void **state)
{
	assert_string_equal(web_language(NULL, "en"), "en");
	assert_string_equal(web_language("it-IT,it;q=0.9,en;q=0.8", "en"), "it");
	assert_string_equal(web_language("de, en-GB, it", "it"), "en");
	assert_string_equal(web_language("item", "en"), "en");
}

/* ------------------------------------------------------------------ periods */

static void expect_period(const char *y, const char *m, const char *d, const char *from, const char *to)
{
	struct period period;
	char text[24];

	assert_int_equal(period_parse(&period, y, m, d, 0), PERIOD_OK);
	assert_string_equal(period_print_moment(text, sizeof(text), period.from_us), from);
	assert_string_equal(period_print_moment(text, sizeof(text), period.to_us), to);
}

static void cdr_periods(void **state)
{
	struct period period;
	int64_t us;

	expect_period("2016", NULL, NULL, "2016-01-01 00:00:00", "2017-01-01 00:00:00");
	expect_period("2015-2016", NULL, NULL, "2015-01-01 00:00:00", "2017-01-01 00:00:00");
	expect_period("2016", "02", NULL, "2016-02-01 00:00:00", "2016-03-01 00:00:00");
	expect_period("2016", "12", "31", "2016-12-31 00:00:00", "2017-01-01 00:00:00");
	expect_period("2016", "01-02", "12-15", "2016-01-12 00:00:00", "2016-02-16 00:00:00");
	expect_period("2016", "02", "29", "2016-02-29 00:00:00", "2016-03-01 00:00:00");
	expect_period("2015-2016", "11-02", "05-04", "2015-11-05 00:00:00", "2016-02-05 00:00:00");

	assert_int_equal(period_parse_moment(&us, "2026-11-23 12:00:00"), 0);
	assert_int_equal(period_parse(&period, NULL, NULL, NULL, us), PERIOD_OK);
	assert_true(period.from_us < us && us < period.to_us);
	assert_true(period.to_us - period.from_us == INT64_C(30) * 86400 * 1000000);
}

static void bad_cdr_dates(void **state)
{
	static const struct {
		const char *y, *m, *d;
		enum period_part part;
	} cases[] = {
		{ "16", NULL, NULL, PERIOD_YEAR }, { "20166", NULL, NULL, PERIOD_YEAR },
		{ "2016-", NULL, NULL, PERIOD_YEAR }, { "abcd", NULL, NULL, PERIOD_YEAR },
		{ "2016-2015", NULL, NULL, PERIOD_YEAR }, { "", NULL, NULL, PERIOD_YEAR },
		{ "0000", NULL, NULL, PERIOD_YEAR }, { "2016", "13", NULL, PERIOD_MONTH },
		{ "2016", "00", NULL, PERIOD_MONTH }, { "2016", "1", NULL, PERIOD_MONTH },
		{ "2016", "05-04", NULL, PERIOD_MONTH }, { "2016", "02", "30", PERIOD_DAY },
		{ "2015", "02", "29", PERIOD_DAY }, { "2016", "01", "00", PERIOD_DAY },
		{ "2016", "01", "12-11", PERIOD_DAY }, { "2016", "01", "x", PERIOD_DAY },
		{ "2016", "01", "99999999999999999999", PERIOD_DAY },
	};
	static const char *const moments[] = { "", "2016", "2016-01-32 00:00:00", "2016-01-01 24:00:00",
					       "2016-01-01 00:00", "2016/01/01 00:00:00",
					       "2016-01-01x00:00:00" };
	struct period period;
	int64_t us;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(period_parse(&period, cases[i].y, cases[i].m, cases[i].d, 0),
				 cases[i].part);
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++)
		assert_int_equal(period_parse_moment(&us, moments[i]), -EINVAL);
}

/* ------------------------------------------------------------------ limits, files, privacy */

static void a_bucket_fills_and_empties(void **state)
{
	const struct web_rate rate = { .burst = 10, .refill_ms = 6000 };
	struct web_limiter *limiter = NULL;

	assert_int_equal(web_limiter_alloc(&limiter, 64), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(web_limiter_take(limiter, "1.2.3.4", rate, 1, 1000), 0);
	assert_int_equal(web_limiter_used(limiter, "1.2.3.4", rate, 1000), 10);
	assert_int_equal(web_limiter_take(limiter, "1.2.3.4", rate, 1, 1000), 6000);
	assert_int_equal(web_limiter_take(limiter, "1.2.3.4", rate, 0, 6000), 1000);
	assert_int_equal(web_limiter_take(limiter, "1.2.3.5", rate, 1, 1000), 0);
	assert_int_equal(web_limiter_take(limiter, "1.2.3.4", rate, 1, 7000), 0);
	assert_true(web_limiter_take(limiter, "1.2.3.4", rate, 1, 7001) > 0);
	web_limiter_free(limiter);
}

static void no_path_leads_out(void **state)
{
	static const char *const bad[] = { "", "..", "../x", "a/../b", "a//b", ".git/config", "a/.env",
					   "a\\b", "a\nb", "a/" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(files_path_is_safe(bad[i]));
	assert_true(files_path_is_safe("assets/index-4f2a.js"));
	assert_true(files_is_immutable("assets/index-4f2a.js"));
	assert_false(files_is_immutable("index.html"));
	assert_string_equal(files_ctype("a/b.JS"), "text/javascript; charset=utf-8");
	assert_string_equal(files_ctype("x.unknown"), "application/octet-stream");
}

static void external_numbers_lose_three_digits(void **state)
{
	char number[32] = "0612345678";

	mask_digits(number, sizeof(number));
	assert_string_equal(number, "0612345xxx");
	strcpy(number, "112");
	mask_digits(number, sizeof(number));
	assert_string_equal(number, "xxx");
	strcpy(number, "");
	mask_digits(number, sizeof(number));
	assert_string_equal(number, "");
	assert_true(mask_is_external("obl"));
	assert_true(mask_is_external("ibl"));
	assert_false(mask_is_external("local_exten"));
	assert_false(mask_is_external("service"));
	assert_true(mask_needed(&(const struct principal){ 0 }, false));
	assert_false(mask_needed(&(const struct principal){ 0 }, true)); /* a call of one's own */
	assert_false(mask_needed(&(const struct principal){ .privacy = true }, false));
}

static void private_addresses(void **state)
{
	assert_true(web_address_is_private("127.0.0.1"));
	assert_true(web_address_is_private("192.168.1.1"));
	assert_true(web_address_is_private("172.31.255.1"));
	assert_true(web_address_is_private("::1"));
	assert_true(web_address_is_private("fd00::1"));
	assert_false(web_address_is_private("172.32.0.1"));
	assert_false(web_address_is_private("8.8.8.8"));
	assert_false(web_address_is_private("2001:db8::1"));
	assert_false(web_address_is_private("nonsense"));
	assert_true(web_origin_matches(NULL, "a"));
	assert_true(web_origin_matches("https://pbx:8443", "pbx:8443"));
	assert_false(web_origin_matches("https://evil", "pbx:8443"));
	assert_false(web_origin_matches("null", "pbx:8443"));
}

static void utf8_is_checked(void **state)
{
	static const char *const bad[] = { "\xff", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
					   "a\xc3" };
	char text[16] = "caff%C3%A8";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(web_utf8_valid(bad[i], strlen(bad[i])));
	assert_true(web_utf8_valid("caff\xc3\xa8 \xf0\x9f\x93\x9e", 11));
	assert_int_equal(web_url_decode(text, strlen(text), false), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ .name = "[PUB-01] the representation follows Accept", .test_func = accept_chooses },
		{ .name = "[PUB-01] XML answers: result, members, entry, nil", .test_func = xml_shape },
		{ .name = "[PUB-06] XML bodies become objects", .test_func = xml_bodies },
		{ .name = "hostile XML is refused with a reason", .test_func = hostile_xml_is_refused },
		{ .name = "[API-01] forms are read", .test_func = forms },
		{ .name = "the language follows Accept-Language", .test_func = languages },
		{ .name = "[PUB-04] years, months and days make one period", .test_func = cdr_periods },
		{ .name = "[PUB-04] bad dates are named", .test_func = bad_cdr_dates },
		{ .name = "rates: a bucket fills and empties", .test_func = a_bucket_fills_and_empties },
		{ .name = "no path leads out of the folder of the pages", .test_func = no_path_leads_out },
		{ .name = "[PLT-85] external numbers lose their last three digits",
		  .test_func = external_numbers_lose_three_digits },
		{ .name = "private addresses and origins", .test_func = private_addresses },
		{ .name = "UTF-8 is checked", .test_func = utf8_is_checked },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

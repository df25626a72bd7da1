/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/snap_priv.h"
#include "base/err.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_MAX 2048

/* In the order of enum snap_codec and enum snap_transport. */
static const char *const codec_names[] = { "PCMA", "PCMU", "G722",  "G726", "G729", "GSM", "OPUS",
					   "H261", "H263", "H263P", "H264", "VP8",  NULL };
static const char *const transport_names[] = { "UDP", "TCP", "TLS", "WS", "WSS", NULL };
/* Of a proxy: the first is "none given". */
static const char *const protocol_names[] = { "", "UDP", "TCP", "TLS", "WS", "WSS", NULL };
static const char *const transport_words[] = { "udp", "tcp", "tls", "ws", "wss" };
static const char *const srtp_names[] = { "off", "optional", "required", NULL };
static const char *const invite_auth_names[] = { "digest", "registered_source", NULL };
static const char *const t38_ec_names[] = { "none", "fec", "redundancy", NULL };
static const char *const dtmf_mode_names[] = { "rfc2833", "sip_info", "in_band", NULL };
static const char *const rpid_mode_names[] = { "disabled", "remote_party_id", "p_asserted_identity",
					       NULL };
static const char *const transport_type_names[] = { "SIP", "WEBRTC", NULL };

#define ACCOUNT(column, t, member)                                                                 \
	{                                                                                          \
		column, t, offsetof(struct snap_account_row, member), false                        \
	}
#define A_OWN(column, t, member) ACCOUNT(column, t, account.member)
#define A_INH(column, t, member)                                                                   \
	{                                                                                          \
		column, t, offsetof(struct snap_account_row, member), true                         \
	}
#define A_ENUM(column, member, n)                                                                  \
	{                                                                                          \
		column, SNAP_B_ENUM, offsetof(struct snap_account_row, member), true, 0, n         \
	}
#define A_BIT(column, b)                                                                           \
	{                                                                                          \
		column, SNAP_B_BIT, offsetof(struct snap_account_row, account.transports), true, b \
	}

const struct snap_bind snap_account_binds[] = {
	A_OWN("enabled", SNAP_B_BOOL, enabled),
	A_OWN("username", SNAP_B_TEXT, username),
	ACCOUNT("password", SNAP_B_LENT, password),
	ACCOUNT("extension", SNAP_B_ID, extension_id),
	ACCOUNT("template", SNAP_B_ID, template_id),
	A_INH("registration_check", SNAP_B_BOOL, account.registration_check),
	A_INH("nat", SNAP_B_BOOL, account.nat),
	A_INH("direct_media", SNAP_B_BOOL, account.direct_media),
	A_INH("max_contacts", SNAP_B_U8, account.max_contacts),
	A_ENUM("srtp", account.srtp, srtp_names),
	A_ENUM("transport_type", transport_webrtc, transport_type_names),
	A_BIT("transport_udp", SNAP_UDP),
	A_BIT("transport_tcp", SNAP_TCP),
	A_BIT("transport_tls", SNAP_TLS),
	A_BIT("transport_ws", SNAP_WS),
	A_BIT("transport_wss", SNAP_WSS),
	A_INH("acl_source_ip", SNAP_B_NETS, acl_source),
	A_INH("acl_contact_ip", SNAP_B_NETS, acl_contact),
	A_INH("audio_codecs", SNAP_B_CODECS, account.audio),
	A_INH("video_codecs", SNAP_B_CODECS, account.video),
	A_INH("outbound_proxy_override", SNAP_B_BOOL, proxy_override),
	A_INH("outbound_proxy_address", SNAP_B_TEXT, proxy_address),
	A_INH("outbound_proxy_port", SNAP_B_U16, proxy_port),
	A_ENUM("outbound_proxy_protocol", proxy_protocol, protocol_names),
};
const size_t snap_n_account_binds = sizeof(snap_account_binds) / sizeof(snap_account_binds[0]);

#define E_OWN(column, t, member)                                                                   \
	{                                                                                          \
		column, t, offsetof(struct snap_extension_row, member), false                      \
	}
#define E_INH(column, t, member)                                                                   \
	{                                                                                          \
		column, t, offsetof(struct snap_extension_row, extension.member), true             \
	}

const struct snap_bind snap_extension_binds[] = {
	E_OWN("enabled", SNAP_B_BOOL, extension.enabled),
	E_OWN("number", SNAP_B_TEXT, extension.number),
	E_OWN("first_name", SNAP_B_LENT, first_name),
	E_OWN("last_name", SNAP_B_LENT, last_name),
	E_OWN("mobile_number", SNAP_B_TEXT, extension.mobile_number),
	E_OWN("template", SNAP_B_ID, template_id),
	E_INH("simulate_ringing", SNAP_B_BOOL, simulate_ringing),
	E_INH("max_concurrent_calls", SNAP_B_U16, max_concurrent_calls),
	E_INH("busy_level", SNAP_B_U16, busy_level),
	E_INH("no_answer_timeout_internal", SNAP_B_U16, no_answer_s[0]),
	E_INH("no_answer_timeout_external", SNAP_B_U16, no_answer_s[1]),
	E_INH("no_answer_timeout_transfer", SNAP_B_U16, no_answer_s[2]),
};
const size_t snap_n_extension_binds =
	sizeof(snap_extension_binds) / sizeof(snap_extension_binds[0]);

#define S_ROW(column, t, member)                                                                   \
	{                                                                                          \
		column, t, offsetof(struct snap_sip_row, member), false                            \
	}
#define S_SIP(column, t, member) S_ROW(column, t, sip.member)
#define S_BIT(column, b)                                                                           \
	{                                                                                          \
		column, SNAP_B_BIT, offsetof(struct snap_sip_row, transports), false, b            \
	}

const struct snap_bind snap_sip_binds[] = {
	S_SIP("realm", SNAP_B_TEXT, realm),
	S_SIP("user_agent", SNAP_B_TEXT, user_agent),
	{ "invite_auth", SNAP_B_ENUM, offsetof(struct snap_sip_row, invite_auth), false, 0,
	  invite_auth_names },
	S_SIP("drop_unknown", SNAP_B_BOOL, drop_unknown),
	S_SIP("min_expires", SNAP_B_U32, min_expires_s),
	S_SIP("max_expires", SNAP_B_U32, max_expires_s),
	S_SIP("session_expires", SNAP_B_U32, session_expires_s),
	S_SIP("min_se", SNAP_B_U32, min_se_s),
	S_SIP("rtp_timeout", SNAP_B_U32, rtp_timeout_s),
	S_SIP("tos_sip", SNAP_B_U8, tos_sip),
	S_SIP("tos_audio", SNAP_B_U8, tos_audio),
	S_SIP("tos_video", SNAP_B_U8, tos_video),
	S_SIP("options_interval", SNAP_B_U32, options_interval_s),
	S_SIP("video_enabled", SNAP_B_BOOL, video_enabled),
	S_SIP("video_max_bitrate", SNAP_B_U32, video_max_kbps),
	S_SIP("srtp_support", SNAP_B_BOOL, srtp_support),
	S_SIP("t38_passthrough", SNAP_B_BOOL, t38_passthrough),
	S_SIP("t38_max_datagram", SNAP_B_U16, t38_max_datagram),
	{ "t38_error_correction", SNAP_B_ENUM, offsetof(struct snap_sip_row, sip.t38_error_correction),
	  false, 0, t38_ec_names },
	{ "dtmf_mode", SNAP_B_ENUM, offsetof(struct snap_sip_row, sip.dtmf_mode), false, 0,
	  dtmf_mode_names },
	{ "send_rpid_mode", SNAP_B_ENUM, offsetof(struct snap_sip_row, sip.send_rpid_mode), false, 0,
	  rpid_mode_names },
	{ "preferred_transport", SNAP_B_ENUM, offsetof(struct snap_sip_row, sip.preferred_transport),
	  false, 0, transport_names },
	S_SIP("pedantic", SNAP_B_BOOL, pedantic),
	S_SIP("accept_rpid", SNAP_B_BOOL, accept_rpid),
	S_SIP("udp_bind", SNAP_B_TEXT, bind[SNAP_UDP]),
	S_SIP("tcp_bind", SNAP_B_TEXT, bind[SNAP_TCP]),
	S_SIP("tls_bind", SNAP_B_TEXT, bind[SNAP_TLS]),
	S_SIP("ws_bind", SNAP_B_TEXT, bind[SNAP_WS]),
	S_SIP("wss_bind", SNAP_B_TEXT, bind[SNAP_WSS]),
	S_SIP("ws_port", SNAP_B_U16, ws_port),
	S_SIP("wss_port", SNAP_B_U16, wss_port),
	S_BIT("udp_enabled", SNAP_UDP),
	S_BIT("tcp_enabled", SNAP_TCP),
	S_BIT("tls_enabled", SNAP_TLS),
	S_BIT("ws_enabled", SNAP_WS),
	S_BIT("wss_enabled", SNAP_WSS),
	S_ROW("system_codecs", SNAP_B_CODECS, system),
	S_SIP("default_audio_codecs", SNAP_B_CODECS, audio),
	S_SIP("default_video_codecs", SNAP_B_CODECS, video),
	S_SIP("external_host", SNAP_B_TEXT, external_host),
	S_SIP("external_host_refresh", SNAP_B_U32, external_refresh_s),
	S_SIP("external_udp_port", SNAP_B_U16, external_ports[SNAP_UDP]),
	S_SIP("external_tcp_port", SNAP_B_U16, external_ports[SNAP_TCP]),
	S_SIP("external_tls_port", SNAP_B_U16, external_ports[SNAP_TLS]),
	S_SIP("stun_server", SNAP_B_TEXT, stun_server),
	S_SIP("stun_port", SNAP_B_U16, stun_port),
	S_ROW("local_networks", SNAP_B_NETS, local),
	S_ROW("outbound_proxy_address", SNAP_B_TEXT, proxy_address),
	S_ROW("outbound_proxy_port", SNAP_B_U16, proxy_port),
	{ "outbound_proxy_protocol", SNAP_B_ENUM, offsetof(struct snap_sip_row, proxy_protocol),
	  false, 0, protocol_names },
};
const size_t snap_n_sip_binds = sizeof(snap_sip_binds) / sizeof(snap_sip_binds[0]);

/* ------------------------------------------------------------------ rows */

int snap_query(struct db_rows **ret, struct db *db, const char *table,
	       const struct snap_bind *binds, size_t n, bool template, int64_t tenant_id)
{
	char sql[SQL_MAX];
	size_t len;

	len = (size_t)snprintf(sql, sizeof(sql), "SELECT id");
	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(sql + len, sizeof(sql) - len,
					template && !binds[i].inherit ? ", NULL" : ", \"%s\"",
					binds[i].name);
	(void)snprintf(sql + len, sizeof(sql) - len,
		       " FROM \"%s%s_applied\" WHERE tenant_id = $1 ORDER BY id", table,
		       template ? "_template" : "");

	return db_query(ret, db, sql, DB_ARGS(db_i64(tenant_id)));
}

static int find_name(const char *const *names, const char *text)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;

	return -1;
}

static void read_codecs(struct snap_codecs *ret, const json_t *list)
{
	json_t *item;
	size_t i;

	memset(ret, 0, sizeof(*ret));
	json_array_foreach(list, i, item)
	{
		const char *name = json_string_value(item);
		int codec = name ? find_name(codec_names, name) : -1;

		if (codec >= 0 && ret->n < SNAP_CODECS)
			ret->list[ret->n++] = (uint8_t)codec;
	}
}

/* "10.0.0.0/8", "10.1.2.3", "2001:db8::/32" */
static bool read_net(struct snap_net *ret, const char *text)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char address[INET6_ADDRSTRLEN + 1];
	size_t len = strcspn(text, "/");
	unsigned long prefix;
	char *end;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';

	if (inet_pton(AF_INET, address, ret->addr + 12) == 1) {
		memcpy(ret->addr, mapped, sizeof(mapped));
		ret->prefix = 128;
	} else if (inet_pton(AF_INET6, address, ret->addr) == 1) {
		ret->prefix = 128;
	} else {
		return false;
	}
	if (!text[len])
		return true;

	prefix = strtoul(text + len + 1, &end, 10);
	if (end == text + len + 1 || *end)
		return false;
	if (!strchr(address, ':'))
		prefix += 96;
	if (prefix > 128)
		return false;
	ret->prefix = (uint8_t)prefix;

	return true;
}

static int read_nets(struct snap_nets *ret, const json_t *list, struct arena *arena)
{
	size_t n = json_array_size(list), i;
	struct snap_net *nets;
	json_t *item;

	*ret = (struct snap_nets){ NULL, 0 };
	if (n == 0)
		return 0;
	if (n > UINT16_MAX)
		return -EINVAL;

	nets = arena_zalloc(arena, n * sizeof(*nets));
	if (!nets)
		return -ENOMEM;

	json_array_foreach(list, i, item)
	{
		const char *text = json_string_value(item);

		/* An empty list allows everybody; so a network that cannot be read becomes one that
		 * holds nobody (::/128) instead of going away. */
		if (!text || !read_net(&nets[i], text)) {
			nets[i] = (struct snap_net){ .prefix = 128 };
			log_error("snapshot.bad_network",
				  "a network cannot be read; it holds nobody",
				  kv_text("network", text ? text : "?"));
		}
	}
	*ret = (struct snap_nets){ nets, (uint16_t)n };

	return 0;
}

static int bind_json(const struct snap_bind *bind, void *at, const char *text, struct arena *arena)
{
	json_t *list = json_loads(text, 0, NULL);
	int err = 0;

	if (!json_is_array(list)) {
		log_error("snapshot.bad_list", "a stored list cannot be read",
			  kv_text("field", bind->name));
		json_decref(list);
		return -ECORRUPT;
	}

	if (bind->type == SNAP_B_CODECS)
		read_codecs(at, list);
	else
		err = read_nets(at, list, arena);
	json_decref(list);

	return err;
}

static int bind_text(const struct snap_bind *bind, void *at, const char *text, struct arena *arena)
{
	const char *copy = NULL;
	int i;

	switch (bind->type) {
	case SNAP_B_TEXT:
		if (text[0]) {
			copy = arena_strdup(arena, text);
			if (!copy)
				return -ENOMEM;
		}
		memcpy(at, &copy, sizeof(copy));
		return 0;
	case SNAP_B_LENT:
		memcpy(at, &text, sizeof(text));
		return 0;
	case SNAP_B_ENUM:
		i = find_name(bind->names, text);
		if (i < 0) {
			log_error("snapshot.bad_value", "a stored value is not known",
				  kv_text("field", bind->name));
			return -ECORRUPT;
		}
		*(uint8_t *)at = (uint8_t)i;
		return 0;
	case SNAP_B_CODECS:
	case SNAP_B_NETS:
		return bind_json(bind, at, text, arena);
	case SNAP_B_BOOL:
	case SNAP_B_U8:
	case SNAP_B_U16:
	case SNAP_B_U32:
	case SNAP_B_ID:
	case SNAP_B_BIT:
		break;
	}

	return 0;
}

static uint64_t limited(int64_t value, uint64_t limit)
{
	return value < 0 ? 0 : (uint64_t)value > limit ? limit : (uint64_t)value;
}

static bool bind_number(const struct snap_bind *bind, void *at, int64_t value)
{
	switch (bind->type) {
	case SNAP_B_BOOL:
		*(bool *)at = value != 0;
		return true;
	case SNAP_B_U8:
		*(uint8_t *)at = (uint8_t)limited(value, UINT8_MAX);
		return true;
	case SNAP_B_U16:
		*(uint16_t *)at = (uint16_t)limited(value, UINT16_MAX);
		return true;
	case SNAP_B_U32:
		*(uint32_t *)at = (uint32_t)limited(value, UINT32_MAX);
		return true;
	case SNAP_B_ID:
		*(int64_t *)at = value;
		return true;
	case SNAP_B_BIT:
		*(uint8_t *)at = (uint8_t)(value ? *(uint8_t *)at | 1 << bind->bit
						 : *(uint8_t *)at & ~(1 << bind->bit));
		return true;
	case SNAP_B_TEXT:
	case SNAP_B_LENT:
	case SNAP_B_ENUM:
	case SNAP_B_CODECS:
	case SNAP_B_NETS:
		break;
	}

	return false;
}

int snap_bind_row(void *base, const struct db_rows *rows, const struct snap_bind *binds, size_t n,
		  struct arena *arena)
{
	for (size_t i = 0; i < n; i++) {
		void *at = (uint8_t *)base + binds[i].offset;
		int col = 1 + (int)i, err;

		if (db_is_null(rows, col))
			continue;
		if (binds[i].type <= SNAP_B_ID || binds[i].type == SNAP_B_BIT) {
			(void)bind_number(&binds[i], at, db_col_i64(rows, col));
			continue;
		}

		err = bind_text(&binds[i], at, db_col_text(rows, col), arena);
		if (err)
			return err;
	}

	return 0;
}

const char *snap_proxy_uri(struct arena *arena, const char *address, uint16_t port,
			   uint8_t protocol, const struct snap_sip *sip)
{
	uint8_t transport = protocol ? (uint8_t)(protocol - 1) : sip->preferred_transport;
	bool v6 = address && strchr(address, ':') && address[0] != '[';
	char number[8] = "";

	if (!address || !address[0])
		return NULL;
	if (port)
		(void)snprintf(number, sizeof(number), ":%u", (unsigned)port);

	return arena_printf(arena, "sip:%s%s%s%s;transport=%s", v6 ? "[" : "", address,
			    v6 ? "]" : "", number,
			    transport_words[transport < SNAP_TRANSPORTS ? transport : SNAP_UDP]);
}

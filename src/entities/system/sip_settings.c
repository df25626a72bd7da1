/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "base/iface.h"
#include "entities/entities.h"

/* SIP settings of the node (PLT-36 to PLT-44, APP-110; defaults of D-082). */
static const struct sch_value dtmf_modes[] = {
	{ "rfc2833", { "RFC 2833", "RFC 2833" } },
	{ "sip_info", { "SIP INFO", "SIP INFO" } },
	{ "in_band", { "In banda", "In band" } },
	{ 0 },
};

static const struct sch_value rpid_modes[] = {
	{ "disabled", { "Disabilitato", "Disabled" } },
	{ "remote_party_id", { "Remote-Party-ID", "Remote-Party-ID" } },
	{ "p_asserted_identity", { "P-Asserted-Identity", "P-Asserted-Identity" } },
	{ 0 },
};

static const struct sch_value invite_auths[] = {
	{ "digest", { "Digest", "Digest" } },
	{ "registered_source", { "Sorgente registrata", "Registered source" } },
	{ 0 },
};

static const struct sch_value t38_modes[] = {
	{ "none", { "Nessuna", "None" } },
	{ "fec", { "FEC", "FEC" } },
	{ "redundancy", { "Ridondanza", "Redundancy" } },
	{ 0 },
};

static const struct sch_value all_codecs[] = {
	{ "PCMU", { "PCM u-law", "PCM u-law" } },
	{ "PCMA", { "PCM a-law", "PCM a-law" } },
	{ "GSM", { "GSM", "GSM" } },
	{ "G729", { "G.729", "G.729" } },
	{ "G726", { "G.726", "G.726" } },
	{ "G722", { "G.722 (HD Audio)", "G.722 (HD audio)" } },
	{ "OPUS", { "Opus", "Opus" } },
	{ "H261", { "H.261", "H.261" } },
	{ "H263", { "H.263", "H.263" } },
	{ "H263P", { "H.263+", "H.263+" } },
	{ "H264", { "H.264", "H.264" } },
	{ "VP8", { "VP8", "VP8" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "general", { "Generale", "General" } },
	{ "security", { "Autenticazione e registrazione", "Authentication and registration" } },
	{ "session", { "Timer di sessione", "Session timers" } },
	{ "qos", { "QoS", "QoS" } },
	{ "media", { "Media", "Media" } },
	{ "proxy", { "Outbound proxy per gli account SIP", "Outbound proxy for SIP accounts" } },
	{ "transport", { "Trasporto", "Transport" } },
	{ "nat", { "NAT Helper", "NAT helper" } },
	{ "t38", { "Impostazioni T.38", "T.38 settings" } },
	{ "codecs", { "Codec", "Codecs" } },
	{ 0 },
};

/* The listeners of UDP, TCP and TLS are opened before there is a database to read: --listen, --sip-port. */
#define AT_START                                                                                   \
	{ "Vale quella data all'avvio del programma (--listen, --sip-port; TLS usa la porta dopo)", \
	  "The one given when the program starts counts (--listen, --sip-port; TLS uses the port after it)" }

#define TRANSPORT(p, ital, eng, on, number, ...)                                                   \
	{ .name = p "_enabled", .type = SCH_BOOL, .def = on, .group = "transport",                 \
	  .label = { "Abilita trasporto " ital, eng " transport" } },                              \
	{ .name = p "_bind", .type = SCH_TEXT, .max = 64, .check = entity_check_bind,              \
	  .group = "transport", .visible_if = p "_enabled=true",                                   \
	  .label = { "Indirizzo di bind " ital, eng " bind address" },                             \
	  .help = { "Indirizzo IP o interfaccia di questa macchina (%eth0%; %eth0:1%: il suo secondo " \
		    "indirizzo); vuoto: quelli dati all'avvio (--listen), di solito tutti",        \
		    "IP address or interface of this machine (%eth0%; %eth0:1%: its second address); " \
		    "empty: those given at the start (--listen), usually all" } },                 \
	{ .name = p "_port", .type = SCH_INT, .min = 1, .max = 65535, .def = number,               \
	  .group = "transport", .visible_if = p "_enabled=true",                                   \
	  .label = { "Porta " ital, eng " port" }, __VA_ARGS__ }

#define DSCP(n, ital, eng, d)                                                                      \
	{ .name = n, .type = SCH_INT, .min = 0, .max = 63, .def = d, .group = "qos",               \
	  .label = { ital, eng },                                                                  \
	  .help = { "Valore DSCP: 24 CS3, 46 EF, 34 AF41", "DSCP value: 24 CS3, 46 EF, 34 AF41" } }

static const struct sch_field fields[] = {
	{ .name = "pedantic", .type = SCH_BOOL, .def = "false", .group = "general",
	  .label = { "Abilita controllo pedante dei messaggi SIP", "Pedantic check of SIP messages" },
	  .help = { "Scarta (400) anche le richieste con errori di forma che di solito si perdonano: intestazioni "
		    "obbligatorie mancanti, nomi e indirizzi scritti male",
		    "Discards (400) also requests with faults of form that are usually forgiven: mandatory "
		    "headers that are missing, names and addresses that are badly written" } },
	{ .name = "dtmf_mode", .type = SCH_ENUM, .values = dtmf_modes, .def = "rfc2833",
	  .group = "general", .label = { "Modalità DTMF", "DTMF mode" } },
	{ .name = "accept_rpid", .type = SCH_BOOL, .def = "true", .group = "general",
	  .label = { "Abilita accettazione RPID", "Accept RPID" },
	  .help = { "Chi è chiamato vede l'identità che il telefono dichiara (P-Asserted-Identity o "
		    "Remote-Party-ID) all'inizio della chiamata; diritti e CDR restano dell'interno",
		    "Who is called sees the identity that the phone asserts (P-Asserted-Identity or "
		    "Remote-Party-ID) when the call begins; rights and CDRs stay the extension's" } },
	{ .name = "send_rpid_mode", .type = SCH_ENUM, .values = rpid_modes,
	  .def = "p_asserted_identity", .group = "general",
	  .label = { "Send rpid mode", "Send RPID mode" } },
	{ .name = "user_agent", .type = SCH_TEXT, .max = 64, .def = "Aoide", .group = "general",
	  .label = { "User-Agent", "User-Agent" } },

	{ .name = "realm", .type = SCH_TEXT, .max = 64, .def = "aoide", .flags = SCH_REQUIRED,
	  .group = "security", .check = entity_check_username,
	  .label = { "Realm", "Realm" },
	  .help = { "Nome mostrato ai telefoni quando si chiede la password",
		    "Name shown to phones when a password is asked for" } },
	{ .name = "invite_auth", .type = SCH_ENUM, .values = invite_auths, .def = "digest",
	  .group = "security",
	  .label = { "Autenticazione delle chiamate", "Authentication of calls" },
	  .help = { "Sorgente registrata: chi chiama da dove è registrato non ripete la password",
		    "Registered source: who calls from where he registered does not repeat the "
		    "password" } },
	{ .name = "drop_unknown", .type = SCH_BOOL, .def = "true", .group = "security",
	  .label = { "Ignora gli sconosciuti", "Ignore strangers" },
	  .help = { "Dopo tre richieste non risponde più a indirizzi pubblici sconosciuti",
		    "After three requests unknown public addresses get no answer" } },
	{ .name = "min_expires", .type = SCH_INT, .min = 30, .max = 3600, .def = "60",
	  .group = "security",
	  .label = { "Durata minima della registrazione (sec.)", "Shortest registration (s)" } },
	{ .name = "max_expires", .type = SCH_INT, .min = 60, .max = 86400, .def = "3600",
	  .group = "security",
	  .label = { "Durata massima della registrazione (sec.)", "Longest registration (s)" } },
	{ .name = "options_interval", .type = SCH_INT, .min = 5, .max = 3600, .def = "25",
	  .group = "security",
	  .label = { "Keep-alive degli account NAT (sec.)", "Keep-alive of NAT accounts (s)" } },

	{ .name = "session_expires", .type = SCH_INT, .min = 0, .max = 86400, .def = "1800",
	  .group = "session",
	  .label = { "Session-Expires (sec.)", "Session-Expires (s)" },
	  .help = { "0: timer di sessione disattivati", "0: session timers off" } },
	{ .name = "min_se", .type = SCH_INT, .min = 90, .max = 86400, .def = "90", .group = "session",
	  .label = { "Min-SE (sec.)", "Min-SE (s)" } },

	DSCP("tos_sip", "TOS SIP", "TOS SIP", "24"),
	DSCP("tos_audio", "TOS Audio", "TOS audio", "46"),
	DSCP("tos_video", "TOS Video", "TOS video", "34"),

	{ .name = "video_enabled", .type = SCH_BOOL, .def = "true", .group = "media",
	  .label = { "Abilita Video", "Video" } },
	{ .name = "video_max_bitrate", .type = SCH_INT, .min = 64, .max = 100000, .def = "384",
	  .group = "media", .visible_if = "video_enabled=true",
	  .label = { "Bitrate massimo per le chiamate video", "Maximum video bit rate" },
	  .help = { "In kbit/s", "In kbit/s" } },
	{ .name = "rtp_timeout", .type = SCH_INT, .min = 0, .max = 3600, .def = "60", .group = "media",
	  .label = { "Fine chiamata per silenzio RTP (sec.)", "End of call after RTP silence (s)" },
	  .help = { "Chiude la chiamata di un telefono che non si sente più; in attesa non conta. 0: mai",
		    "Ends the call of a phone that is no longer heard; on hold does not count. 0: never" } },
	{ .name = "srtp_support", .type = SCH_BOOL, .def = "true", .group = "media",
	  .label = { "Abilita supporto alla cifratura RTP (SRTP)", "RTP encryption (SRTP)" } },
	{ .name = "stun_server", .type = SCH_HOST, .group = "media",
	  .label = { "Indirizzo del server STUN", "STUN server address" } },
	{ .name = "stun_port", .type = SCH_INT, .min = 1, .max = 65535, .group = "media",
	  .label = { "Porta del server STUN", "STUN server port" } },

	{ .name = "outbound_proxy_address", .type = SCH_HOST, .group = "proxy",
	  .label = { "Indirizzo", "Address" } },
	{ .name = "outbound_proxy_port", .type = SCH_INT, .min = 1, .max = 65535, .group = "proxy",
	  .label = { "Porta", "Port" } },
	{ .name = "outbound_proxy_protocol", .type = SCH_ENUM, .values = entity_transports,
	  .group = "proxy", .label = { "Protocollo", "Protocol" } },

	{ .name = "preferred_transport", .type = SCH_ENUM, .values = entity_transports, .def = "UDP",
	  .group = "transport", .label = { "Trasporto preferito", "Preferred transport" },
	  .help = { "Verso un outbound proxy che non indica un protocollo. Sceglierne uno disabilitato lo "
		    "abilita; se viene disabilitato vale il primo abilitato",
		    "Towards an outbound proxy that names no protocol. Choosing one that is off turns it on; "
		    "when it is turned off the first that is on counts" } },
	TRANSPORT("udp", "UDP", "UDP", "true", "5060", .help = AT_START),
	TRANSPORT("tcp", "TCP", "TCP", "true", "5060", .help = AT_START),
	TRANSPORT("tls", "TLS", "TLS", "true", "5061", .help = AT_START),
	TRANSPORT("ws", "Web Socket", "WebSocket", "false", "8088"),
	TRANSPORT("wss", "Web Socket Sicuro", "Secure WebSocket", "true", "8089"),

	{ .name = "external_host", .type = SCH_HOST, .group = "nat",
	  .label = { "Host esterno", "External host" } },
	{ .name = "external_host_refresh", .type = SCH_INT, .min = 10, .max = 86400, .def = "60",
	  .group = "nat",
	  .label = { "Periodo di aggiornamento dell'host esterno (sec.)",
		     "External host refresh (s)" } },
	{ .name = "external_udp_port", .type = SCH_INT, .min = 1, .max = 65535, .group = "nat",
	  .label = { "Porta UDP esterna", "External UDP port" } },
	{ .name = "external_tcp_port", .type = SCH_INT, .min = 1, .max = 65535, .group = "nat",
	  .label = { "Porta TCP esterna", "External TCP port" } },
	{ .name = "external_tls_port", .type = SCH_INT, .min = 1, .max = 65535, .group = "nat",
	  .label = { "Porta TLS esterna", "External TLS port" } },
	{ .name = "local_networks", .type = SCH_NET_LIST, .def = "[]", .group = "nat",
	  .label = { "Reti locali", "Local networks" } },

	{ .name = "t38_passthrough", .type = SCH_BOOL, .def = "true", .group = "t38",
	  .label = { "Abilita T.38 passthrough", "T.38 pass-through" } },
	{ .name = "t38_max_datagram", .type = SCH_INT, .min = 0, .max = 65535, .def = "1400",
	  .group = "t38", .visible_if = "t38_passthrough=true",
	  .label = { "Dimensione massima del datagramma", "Maximum datagram size" },
	  .help = { "Annunciata a entrambe le parti, qualunque cosa dica l'altra; 0: ciò che dice l'altra",
		    "Told to both sides whatever the other one says; 0: what the other one says" } },
	{ .name = "t38_error_correction", .type = SCH_ENUM, .values = t38_modes,
	  .def = "redundancy", .group = "t38", .visible_if = "t38_passthrough=true",
	  .label = { "Correzione d'errore", "Error correction" },
	  .help = { "La più forte che si annuncia; se l'altra parte ne sa una più debole, resta quella",
		    "The strongest that is told; a weaker one of the other side stays" } },

	{ .name = "system_codecs", .type = SCH_ENUM_LIST, .values = all_codecs, .group = "codecs",
	  .def = "[\"PCMU\",\"PCMA\",\"GSM\",\"G729\",\"G726\",\"G722\",\"OPUS\",\"H261\",\"H263\","
		 "\"H263P\",\"H264\",\"VP8\"]",
	  .label = { "Abilitazione codec di sistema", "System codecs" },
	  .help = { "Un codec non elencato non viene usato da nessuno",
		    "A codec that is not listed is used by nobody" } },
	{ .name = "default_audio_codecs", .type = SCH_ENUM_LIST, .values = entity_audio_codecs,
	  .group = "codecs", .def = "[\"PCMA\",\"PCMU\",\"G722\",\"OPUS\",\"G729\"]",
	  .label = { "Codec audio predefiniti", "Default audio codecs" },
	  .help = { "In ordine di preferenza, per chi non ne definisce",
		    "In order of preference, for those who define none" } },
	{ .name = "default_video_codecs", .type = SCH_ENUM_LIST, .values = entity_video_codecs,
	  .group = "codecs", .def = "[\"H264\",\"VP8\"]",
	  .label = { "Codec video predefiniti", "Default video codecs" } },
};

static bool listed(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (!strcmp(json_string_value(item), name))
			return true;
	return false;
}

static void check_defaults(struct sch_ctx *ctx, const json_t *row, const char *field)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(row, field), i, item)
		if (!listed(json_object_get(row, "system_codecs"), json_string_value(item)))
			sch_problem_add(ctx, field, "not_enabled",
					SCH_TR(ctx, "Il codec %s non è tra i codec di sistema: abilitarlo o toglierlo.",
					       "Codec %s is not among the system codecs: enable it or remove it."),
					json_string_value(item));
}

/* Only what is changed: an interface may be down while somebody edits something else. */
static void check_binds(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	static const char *const binds[] = { "udp_bind", "tcp_bind", "tls_bind", "ws_bind", "wss_bind" };
	struct iface_address found[IFACE_MAX];

	for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++) {
		const json_t *value = json_object_get(row, binds[i]);
		const char *text = json_string_value(value);
		int n;

		if (!text || !*text || json_equal(value, json_object_get(old, binds[i])))
			continue;
		n = iface_addresses(found, text);
		if (n == -EADDRNOTAVAIL)
			sch_problem_add(ctx, binds[i], "not_local",
					SCH_TR(ctx,
					       "%s non è un indirizzo di questa macchina: indicarne uno suo o "
					       "un'interfaccia, oppure lasciare vuoto.",
					       "%s is not an address of this machine: give one of its own or an "
					       "interface, or leave it empty."),
					text);
		else if (n < 0)
			sch_problem_add(ctx, binds[i], "no_interface",
					SCH_TR(ctx,
					       "Questa macchina non ha un'interfaccia %s con un indirizzo: indicarne "
					       "un'altra o un indirizzo IP, oppure lasciare vuoto.",
					       "This machine has no interface %s with an address: give another one "
					       "or an IP address, or leave it empty."),
					text);
	}
}

/* Who chooses a transport that is off means it to be used (BASE-59 says so of lines). */
static int enable_preferred(json_t *row, const json_t *old)
{
	static const struct {
		const char *name, *enabled;
	} transports[] = {
		{ "UDP", "udp_enabled" }, { "TCP", "tcp_enabled" }, { "TLS", "tls_enabled" },
		{ "WS", "ws_enabled" },	  { "WSS", "wss_enabled" },
	};
	const json_t *chosen = json_object_get(row, "preferred_transport");

	if (!json_is_string(chosen) || !old ||
	    json_equal(chosen, json_object_get(old, "preferred_transport")))
		return 0;
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		if (!strcmp(json_string_value(chosen), transports[i].name) &&
		    json_object_set_new(row, transports[i].enabled, json_true()))
			return -ENOMEM;
	}
	return 0;
}

static int before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	static const char *const enabled[] = { "udp_enabled", "tcp_enabled", "tls_enabled",
					       "ws_enabled", "wss_enabled" };
	bool any = false;

	if (enable_preferred(row, old))
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(enabled) / sizeof(enabled[0]); i++)
		any = any || json_is_true(json_object_get(row, enabled[i]));
	if (!any)
		sch_problem_add(ctx, "udp_enabled", "no_transport",
				SCH_TR(ctx, "Almeno un trasporto deve essere abilitato.",
				       "At least one transport must be enabled."));
	if (json_integer_value(json_object_get(row, "min_expires")) >
	    json_integer_value(json_object_get(row, "max_expires")))
		sch_problem_add(ctx, "min_expires", "range",
				SCH_TR(ctx, "La durata minima non può superare la massima.",
				       "The shortest registration cannot exceed the longest."));
	if (json_integer_value(json_object_get(row, "session_expires")) &&
	    json_integer_value(json_object_get(row, "min_se")) >
		    json_integer_value(json_object_get(row, "session_expires")))
		sch_problem_add(ctx, "min_se", "range",
				SCH_TR(ctx, "Min-SE non può superare Session-Expires.",
				       "Min-SE cannot exceed Session-Expires."));
	check_binds(ctx, row, old);
	check_defaults(ctx, row, "default_audio_codecs");
	check_defaults(ctx, row, "default_video_codecs");
	return ctx->n_problems ? -EINVAL : 0;
}

const struct sch_entity entity_sip_settings = {
	.name = "sip_settings", .scope = SCH_PBX, .singleton = true, .permission = "sip_settings",
	.label = { "Impostazioni SIP", "SIP settings" },
	.label_one = { "Impostazioni SIP", "SIP settings" }, .groups = groups, SCH_FIELDS(fields),
	.before_write = before_write,
};

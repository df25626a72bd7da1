/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "entities/entities.h"

const struct sch_value entity_transports[] = {
	{ "UDP", { "UDP", "UDP" } },
	{ "TCP", { "TCP", "TCP" } },
	{ "TLS", { "TLS", "TLS" } },
	{ "WS", { "Web Socket", "WebSocket" } },
	{ "WSS", { "Web Socket sicuro", "Secure WebSocket" } },
	{ 0 },
};

const struct sch_value entity_audio_codecs[] = {
	{ "PCMA", { "PCM a-law", "PCM a-law" } },
	{ "PCMU", { "PCM u-law", "PCM u-law" } },
	{ "G722", { "G.722 (HD Audio)", "G.722 (HD audio)" } },
	{ "G726", { "G.726", "G.726" } },
	{ "G729", { "G.729", "G.729" } },
	{ "GSM", { "GSM", "GSM" } },
	{ "OPUS", { "Opus", "Opus" } },
	{ 0 },
};

const struct sch_value entity_video_codecs[] = {
	{ "H261", { "H.261", "H.261" } },
	{ "H263", { "H.263", "H.263" } },
	{ "H263P", { "H.263+", "H.263+" } },
	{ "H264", { "H.264", "H.264" } },
	{ "VP8", { "VP8", "VP8" } },
	{ 0 },
};

int entity_problem(struct sch_problem *problem, enum sch_lang lang, const char *code,
		   const char *italian, const char *english)
{
	problem->code = code;
	(void)snprintf(problem->message, sizeof(problem->message), "%s",
		       lang == SCH_IT ? italian : english);
	return -EINVAL;
}

static bool all_of(const char *text, bool (*ok)(unsigned char c))
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (!ok(*p))
			return false;
	return true;
}

static bool is_decimal(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_secret_char(unsigned char c)
{
	return c > ' ' && c < 0x7f;
}

static bool is_username_char(unsigned char c)
{
	return (c < 0x80 && isalnum(c)) || c == '.' || c == '_' || c == '-';
}

int entity_check_pin(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	const char *text = json_string_value(value);
	size_t n = strlen(text);

	if (n >= 4 && n <= 16 && all_of(text, is_decimal))
		return 0;
	return entity_problem(problem, lang, "bad_pin",
			      "Il PIN ha da 4 a 16 cifre; lasciare vuoto per non averne.",
			      "A PIN has 4 to 16 digits; leave it empty to have none.");
}

int entity_check_secret(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	if (all_of(json_string_value(value), is_secret_char))
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "La password non può contenere spazi o caratteri accentati: usare "
			      "lettere, cifre e simboli.",
			      "The password cannot hold spaces or accented characters: use letters, "
			      "digits and symbols.");
}

int entity_check_username(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	if (all_of(json_string_value(value), is_username_char))
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "Sono ammesse lettere non accentate, cifre, punto, trattino e "
			      "trattino basso.",
			      "Use unaccented letters, digits, dot, hyphen and underscore.");
}

int entity_check_person_name(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	if (!strpbrk(json_string_value(value), ";\""))
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "Punto e virgola e virgolette non sono ammessi: toglierli.",
			      "Semicolons and double quotes are not allowed: remove them.");
}

int entity_check_tenant_domain(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	const char *text = json_string_value(value);
	size_t n = strlen(text);
	bool ok = n > 0 && n <= 63;

	for (size_t i = 0; ok && i < n; i++) {
		char c = text[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		ok = word || ((c == '.' || c == '-') && i > 0 && i + 1 < n);
	}
	if (!ok)
		return entity_problem(problem, lang, "bad_domain",
				      "Il dominio ha al massimo 63 lettere minuscole non accentate, "
				      "cifre, punti e trattini, e non inizia o finisce con un segno.",
				      "A domain has at most 63 unaccented lower-case letters, digits, "
				      "dots and hyphens, with no sign at either end.");
	if (!strcmp(text, "pbxadmin") || !strcmp(text, "root"))
		return entity_problem(problem, lang, "reserved",
				      "Questo dominio è riservato: sceglierne un altro.",
				      "This domain is reserved: choose another one.");
	return 0;
}

int entity_check_url(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	const char *text = json_string_value(value);

	if ((!strncmp(text, "https://", 8) && text[8]) || (!strncmp(text, "http://", 7) && text[7]))
		return 0;
	return entity_problem(problem, lang, "bad_url",
			      "L'indirizzo inizia con http:// o https://.",
			      "The address starts with http:// or https://.");
}

/* An address, "eth0", "%eth0%" or "%eth0:0%". Whether the interface exists is known at start only. */
int entity_check_bind(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	const char *text = json_string_value(value);
	size_t n = strlen(text);
	bool percent = n > 2 && text[0] == '%' && text[n - 1] == '%';
	bool ok = n > 0;

	for (size_t i = percent; ok && i + percent < n; i++)
		ok = is_username_char((unsigned char)text[i]) || text[i] == ':';
	if (ok)
		return 0;
	return entity_problem(problem, lang, "bad_address",
			      "Indicare un indirizzo IP o un'interfaccia, per esempio 192.168.1.1 o "
			      "%eth0%.",
			      "Give an IP address or an interface, for example 192.168.1.1 or "
			      "%eth0%.");
}

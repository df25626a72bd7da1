/* SPDX-License-Identifier: Apache-2.0 */
#include "call/say.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_NUMBER 999999999999ll

void say_init(struct say *say, const char *language)
{
	bool italian = !strncmp(language, "it", 2) && (!language[2] || language[2] == '_');

	say->grammar = italian ? SAY_ITALIAN : SAY_ENGLISH;
	say->n = say->len = 0;
	say->is_cut = false;
}

const char *say_next(const struct say *say, const char *name)
{
	name = name ? name + strlen(name) + 1 : say->text;
	return name < say->text + say->len ? name : NULL;
}

void say_prompt(struct say *say, const char *name)
{
	size_t len = strlen(name) + 1;

	if (say->is_cut || say->len + len > sizeof(say->text)) {
		say->is_cut = true; /* nothing after a gap: half a number is another number */
		return;
	}
	memcpy(say->text + say->len, name, len);
	say->len = (uint16_t)(say->len + len);
	say->n++;
}

void say_silence(struct say *say, uint32_t ms)
{
	char name[24];

	(void)snprintf(name, sizeof(name), "silence:%u", ms);
	say_prompt(say, name);
}

/* ------------------------------------------------------------------ numbers */

static void indexed(struct say *say, const char *group, unsigned index)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%s/%u", group, index);
	say_prompt(say, name);
}

/* One hundred AND five: between hundreds, or what stands for them, and what is below. */
static void english_and(struct say *say)
{
	if (say->grammar == SAY_ENGLISH)
		say_prompt(say, "numbers/and");
}

static void below_1000(struct say *say, unsigned number)
{
	unsigned rest = number % 100;

	if (number >= 100)
		indexed(say, "numbers", number - rest);
	if (number >= 100 && rest)
		english_and(say);
	if (rest)
		indexed(say, "numbers", rest);
}

static const struct scale {
	int64_t value;
	const char *one, *many; /* one: "one thousand" as a whole, mille, un milione */
} scales[] = {
	{ 1000000000, "numbers/billion", "numbers/billions" },
	{ 1000000, "numbers/million", "numbers/millions" },
	{ 1000, "numbers/thousand", "numbers/thousands" },
};

void say_number(struct say *say, int64_t number)
{
	uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;
	bool said = false;

	if (left > MAX_NUMBER) {
		char digits[24];

		(void)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)left);
		if (number < 0)
			say_prompt(say, "numbers/minus");
		say_digits(say, digits);
		return;
	}
	if (number < 0)
		say_prompt(say, "numbers/minus");
	if (!left)
		say_prompt(say, "numbers/0");

	for (size_t i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {
		unsigned count = (unsigned)(left / (uint64_t)scales[i].value);

		left %= (uint64_t)scales[i].value;
		if (!count)
			continue;
		if (count > 1)
			below_1000(say, count);
		say_prompt(say, count > 1 ? scales[i].many : scales[i].one);
		said = true;
	}
	if (said && left && left < 100)
		english_and(say);
	below_1000(say, (unsigned)left);
}

/* ------------------------------------------------------------------ digits and letters */

static const struct {
	char c;
	const char *name;
} signs[] = {
	{ '*', "digits/star" },  { '#', "digits/pound" },      { '.', "letters/dot" },
	{ '-', "letters/dash" }, { '_', "letters/underscore" }, { '@', "letters/at" },
	{ '/', "letters/slash" }, { '+', "letters/plus" },	{ ',', "letters/comma" },
	{ ':', "letters/colon" }, { ' ', "letters/space" },
};

static void character(struct say *say, char c)
{
	char name[16];

	if (c >= 'A' && c <= 'Z')
		c = (char)(c - 'A' + 'a');
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')) {
		(void)snprintf(name, sizeof(name), "%s/%c", c <= '9' ? "digits" : "letters", c);
		say_prompt(say, name);
		return;
	}
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (signs[i].c == c)
			say_prompt(say, signs[i].name);
}

void say_digits(struct say *say, const char *digits)
{
	for (; *digits; digits++)
		character(say, *digits);
}

/* U+00C0..U+00FF without their accents; '?' has no name. */
static char plain_latin(unsigned code)
{
	static const char plain[] = "AAAAAAACEEEEIIIIDNOOOOO?OUUUUY?s"
				    "aaaaaaaceeeeiiiidnooooo?ouuuuy?y";

	return code >= 0xc0 && code <= 0xff ? plain[code - 0xc0] : '?';
}

void say_spell(struct say *say, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x80)
			character(say, (char)*p);
		else if ((*p & 0xe0) == 0xc0 && (p[1] & 0xc0) == 0x80) {
			character(say, plain_latin((*p & 0x1fu) << 6 | (p[1] & 0x3fu)));
			p++;
		}
	}
}

/* ------------------------------------------------------------------ dates and times */

/* English years of the last centuries go by pairs: nineteen ninety-nine, nineteen oh five. */
static void year(struct say *say, int number)
{
	if (say->grammar != SAY_ENGLISH || number < 1100 || number > 1999 || number % 100 == 0) {
		say_number(say, number);
		return;
	}
	indexed(say, "numbers", (unsigned)number / 100);
	if (number % 100 < 10)
		say_prompt(say, "time/oh");
	indexed(say, "numbers", (unsigned)number % 100);
}

void say_date(struct say *say, const struct tm *date, unsigned parts)
{
	bool day_first = say->grammar == SAY_ITALIAN;

	if (parts & SAY_WEEKDAY)
		indexed(say, "weekdays", (unsigned)date->tm_wday);
	if (day_first)
		indexed(say, "monthdays", (unsigned)date->tm_mday);
	indexed(say, "months", (unsigned)date->tm_mon + 1);
	if (!day_first)
		indexed(say, "monthdays", (unsigned)date->tm_mday);
	if (parts & SAY_YEAR)
		year(say, date->tm_year + 1900);
}

/* What begins a time, and what says all of it; one o'clock has an article of its own in Italian. */
static const struct {
	const char *begin, *one, *noon, *midnight;
} time_forms[] = {
	[SAY_TIME] = { NULL, "numbers/1f", "time/noon", "time/midnight" },
	[SAY_AT] = { "time/at", "time/at-one", "time/at-noon", "time/at-midnight" },
	[SAY_IT_IS] = { "time/it-is", "time/it-is-one", "time/it-is-noon", "time/it-is-midnight" },
};

void say_time(struct say *say, unsigned hour, unsigned minute, enum say_time_form form)
{
	bool english = say->grammar == SAY_ENGLISH;
	unsigned shown = english ? (hour + 11) % 12 + 1 : hour;

	if (!minute && (hour == 0 || hour == 12)) {
		say_prompt(say, hour ? time_forms[form].noon : time_forms[form].midnight);
		return;
	}
	if (shown != 1 && time_forms[form].begin)
		say_prompt(say, time_forms[form].begin);
	if (shown == 1)
		say_prompt(say, time_forms[form].one);
	else
		indexed(say, "numbers", shown);

	if (minute && !english)
		say_prompt(say, "time/and");
	if (minute && minute < 10 && english)
		say_prompt(say, "time/oh");
	if (minute)
		indexed(say, "numbers", minute);
	if (english)
		say_prompt(say, hour < 12 ? "time/am" : "time/pm");
}

static const struct {
	uint32_t s;
	const char *one, *unit, *units; /* un'ora is feminine in Italian, un minuto is not */
} spans[] = {
	{ 86400, "numbers/1m", "time/day", "time/days" },
	{ 3600, "numbers/1f", "time/hour", "time/hours" },
	{ 60, "numbers/1m", "time/minute", "time/minutes" },
	{ 1, "numbers/1m", "time/second", "time/seconds" },
};
#define N_SPANS (sizeof(spans) / sizeof(spans[0]))

void say_duration(struct say *say, uint64_t seconds)
{
	bool said = false;

	for (size_t i = 0; i < N_SPANS; i++) {
		uint64_t count = seconds / spans[i].s;

		seconds %= spans[i].s;
		if (!count && (said || i + 1 < N_SPANS))
			continue;
		if (said && !seconds)
			say_prompt(say, "numbers/and");
		if (count == 1)
			say_prompt(say, spans[i].one);
		else
			say_number(say, (int64_t)count);
		say_prompt(say, count == 1 ? spans[i].unit : spans[i].units);
		said = true;
		if (!seconds)
			return;
	}
}

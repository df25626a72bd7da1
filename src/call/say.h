/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_SAY_H
#define AOIDE_CALL_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is to be said, as a list of prompts (share/prompts/README.md) and other sounds: numbers, digits,
 * dates and times in the grammar of the language. Pure: nothing is played here, nothing is looked up.
 *
 * A name with a colon is a sound of its own ("tone:...", "silence:500", "file:/..."), every other one is
 * a recorded prompt.
 */
#define SAY_MAX_TEXT 1536

struct tm;

enum say_grammar { SAY_ITALIAN, SAY_ENGLISH };

struct say {
	enum say_grammar grammar;
	uint16_t n;       /* names */
	uint16_t len;     /* of text */
	bool is_cut;      /* too long: the rest is missing */
	char text[SAY_MAX_TEXT]; /* names, each with its zero byte */
};

/* Empty. language: the code of a prompt language ("it", "us", "it_personal"); its grammar is that of
 * the recordings: Italian for it, English for us, and for es, which has the recordings of us. */
void say_init(struct say *say, const char *language);
/* The name that follows one; NULL begins, and ends. */
const char *say_next(const struct say *say, const char *name);

void say_prompt(struct say *say, const char *name);
void say_silence(struct say *say, uint32_t ms);

void say_number(struct say *say, int64_t number); /* below 10^12 in amount, else digit by digit */
/* Digit by digit; what is no digit, * or # is spelled. */
void say_digits(struct say *say, const char *digits);
/* Letter by letter, UTF-8; accents are left out, what has no name is skipped. */
void say_spell(struct say *say, const char *text);

enum say_date_parts { SAY_WEEKDAY = 1, SAY_YEAR = 2 };
void say_date(struct say *say, const struct tm *date, unsigned parts);

/* 24 hours in Italian, a.m. and p.m. in English. */
enum say_time_form { SAY_TIME, SAY_AT, SAY_IT_IS };
void say_time(struct say *say, unsigned hour, unsigned minute, enum say_time_form form);

/* A span; parts that are zero are left out, "zero seconds" is said as such. */
void say_duration(struct say *say, uint64_t seconds);

#endif

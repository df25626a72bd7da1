/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

static void put_u32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, sizeof(v));
}

int frame_parse(struct frame *ret, const uint8_t *buf, size_t len, size_t *used)
{
	size_t size, subject_len;

	*used = 0;
	if (len < FRAME_LENGTH_BYTES)
		return 0;

	size = FRAME_LENGTH_BYTES + (size_t)get_u32(buf);
	if (size > FRAME_MAX_BYTES)
		return -EMSGSIZE;
	if (size < FRAME_HEADER_BYTES)
		return -EBADMSG;
	*used = size;
	if (len < size)
		return 0;

	if (buf[4] < FRAME_HELLO || buf[4] > FRAME_WANTED)
		return -EBADMSG;
	subject_len = (size_t)buf[13] << 8 | buf[14];
	if (subject_len > SUBJECT_MAX || subject_len > size - FRAME_HEADER_BYTES)
		return -EBADMSG;

	ret->type = (enum frame_type)buf[4];
	ret->id = get_u32(buf + 5);
	ret->arg = (int32_t)get_u32(buf + 9);
	memcpy(ret->subject, buf + FRAME_HEADER_BYTES, subject_len);
	ret->subject[subject_len] = '\0';
	ret->text = (const char *)buf + FRAME_HEADER_BYTES + subject_len;
	ret->text_len = size - FRAME_HEADER_BYTES - subject_len;

	/* Answers carry no subject; everything else has one without surprises in it. */
	if (strlen(ret->subject) != subject_len)
		return -EBADMSG;
	if (ret->type == FRAME_REPLY || ret->type == FRAME_WANTED)
		return subject_len ? -EBADMSG : 1;

	return subject_is_valid(ret->subject, ret->type == FRAME_SUBSCRIBE) ? 1 : -EBADMSG;
}

size_t frame_size(const char *subject, size_t text_len)
{
	return FRAME_HEADER_BYTES + strlen(subject) + text_len;
}

void frame_print(uint8_t *buf, enum frame_type type, uint32_t id, int32_t arg, const char *subject,
		 const char *text, size_t text_len)
{
	const size_t subject_len = strlen(subject);

	put_u32(buf, (uint32_t)(FRAME_HEADER_BYTES - FRAME_LENGTH_BYTES + subject_len + text_len));
	buf[4] = (uint8_t)type;
	put_u32(buf + 5, id);
	put_u32(buf + 9, (uint32_t)arg);
	buf[13] = (uint8_t)(subject_len >> 8);
	buf[14] = (uint8_t)subject_len;
	memcpy(buf + FRAME_HEADER_BYTES, subject, subject_len);
	if (text_len)
		memcpy(buf + FRAME_HEADER_BYTES + subject_len, text, text_len);
}

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == ':';
}

bool subject_is_valid(const char *subject, bool is_pattern)
{
	const char *c = subject;

	if (strlen(subject) > SUBJECT_MAX)
		return false;

	for (;;) {
		if (is_pattern && *c == '>' && !c[1])
			return true;
		if (is_pattern && *c == '*') {
			c++;
		} else {
			if (!is_token_char(*c))
				return false;
			while (is_token_char(*c))
				c++;
		}
		if (!*c)
			return true;
		if (*c++ != '.')
			return false;
	}
}

bool subject_matches(const char *pattern, const char *subject)
{
	for (;;) {
		if (pattern[0] == '>' && !pattern[1])
			return *subject != '\0';
		if (*pattern == '*') {
			pattern++;
			subject += strcspn(subject, ".");
		} else {
			while (*pattern && *pattern != '.' && *pattern == *subject) {
				pattern++;
				subject++;
			}
		}
		if (!*pattern || !*subject)
			return !*pattern && !*subject;
		if (*pattern++ != '.' || *subject++ != '.')
			return false;
	}
}

bool subject_is_command(const char *subject)
{
	return !strncmp(subject, SUBJECT_COMMAND, sizeof(SUBJECT_COMMAND) - 1);
}

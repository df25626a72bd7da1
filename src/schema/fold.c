/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>
#include "schema/schema_priv.h"

/*
 * Lower case and without accents for the letters of Latin-1 and Latin Extended-A, which is what
 * names in the languages of the product are written in; other letters are kept as they are, so they
 * are found when typed the same way.
 */
static const char latin1[] = /* U+00C0 .. U+00FF */
	"aaaaaaaceeeeiiiidnooooo*ouuuuytsaaaaaaaceeeeiiiidnooooo/ouuuuyty";
static const char latin_a[] = /* U+0100 .. U+017F */
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllllllln"
	"nnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
_Static_assert(sizeof(latin1) == 64 + 1, "one letter per code point");
_Static_assert(sizeof(latin_a) == 128 + 1, "one letter per code point");

void sch_fold(char *buf, size_t size, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	size_t n = 0;

	while (*p && n + 4 < size) {
		unsigned code = *p < 0xe0 && p[1] ? ((*p & 0x1fu) << 6 | (p[1] & 0x3fu)) : 0;

		if (*p < 0x80)
			buf[n++] = (char)tolower(*p++);
		else if (code >= 0xc0 && code <= 0xff) {
			buf[n++] = latin1[code - 0xc0];
			p += 2;
		}
		else if (code >= 0x100 && code <= 0x17f) {
			buf[n++] = latin_a[code - 0x100];
			p += 2;
		}
		else { /* A whole character, so that nothing is cut in two. */
			do
				buf[n++] = (char)*p++;
			while ((*p & 0xc0) == 0x80 && n + 1 < size);
		}
	}
	if (size)
		buf[n] = '\0';
}

/* Lower case of the two-byte letter at p, as its second byte; Latin-1 only, where case is bit 5. */
static unsigned char lower_at(const unsigned char *p, size_t i)
{
	unsigned char c = p[i];

	if (i > 0 && p[i - 1] == 0xc3 && c >= 0x80 && c <= 0x9e && c != 0x97)
		return (unsigned char)(c | 0x20);
	return c < 0x80 ? (unsigned char)tolower(c) : c;
}

bool sch_same_nocase(const char *a, const char *b)
{
	const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
	size_t n = strlen(a);

	if (n != strlen(b))
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower_at(x, i) != lower_at(y, i))
			return false;
	return true;
}

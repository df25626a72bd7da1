/* SPDX-License-Identifier: Apache-2.0 */
#include "call/e180.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *country;
	const char *sounds[E180_TONES]; /* dial, ring-back, busy, congestion */
} tones[] = {
	{ "it", { "tone:425/200,0/200,425/600,0/1000", "tone:425/1000,0/4000", "tone:425/500,0/500",
		  "tone:425/200,0/200" } },
	{ "us", { "tone:350+440/0", "tone:440+480/2000,0/4000", "tone:480+620/500,0/500",
		  "tone:480+620/250,0/250" } },
	{ "uk", { "tone:350+440/0", "tone:400+450/400,0/200,400+450/400,0/2000", "tone:400/375,0/375",
		  "tone:400/400,0/350,400/225,0/525" } },
	{ "gb", { "tone:350+440/0", "tone:400+450/400,0/200,400+450/400,0/2000", "tone:400/375,0/375",
		  "tone:400/400,0/350,400/225,0/525" } },
	{ "de", { "tone:425/0", "tone:425/1000,0/4000", "tone:425/480,0/480", "tone:425/240,0/240" } },
	{ "fr", { "tone:440/0", "tone:440/1500,0/3500", "tone:440/500,0/500", "tone:440/250,0/250" } },
	{ "es", { "tone:425/0", "tone:425/1500,0/3000", "tone:425/200,0/200",
		  "tone:425/200,0/200,425/200,0/200,425/200,0/600" } },
	{ "pt", { "tone:425/0", "tone:425/1000,0/5000", "tone:425/500,0/500", "tone:425/200,0/200" } },
	{ "ch", { "tone:425/0", "tone:425/1000,0/4000", "tone:425/500,0/500", "tone:425/200,0/200" } },
	{ "at", { "tone:420/0", "tone:420/1000,0/5000", "tone:420/400,0/400", "tone:420/200,0/200" } },
	{ "nl", { "tone:425/0", "tone:425/1000,0/4000", "tone:425/500,0/500", "tone:425/250,0/250" } },
	{ "be", { "tone:425/0", "tone:425/1000,0/3000", "tone:425/500,0/500", "tone:425/167,0/167" } },
	{ "pl", { "tone:425/0", "tone:425/1000,0/4000", "tone:425/500,0/500", "tone:425/500,0/500" } },
};

const char *e180_sound(const char *country, enum e180_tone tone)
{
	for (size_t i = 0; country && i < sizeof(tones) / sizeof(tones[0]); i++)
		if (!strcmp(tones[i].country, country))
			return tones[i].sounds[tone];
	return tones[0].sounds[tone];
}

const char *e180_asked(const char *sound)
{
	return !strncmp(sound, "tone:", 5) && isalpha((unsigned char)sound[5]) ? sound + 5 : NULL;
}

const char *e180_named(const char *name)
{
	static const char *const names[E180_TONES] = { "dial", "ringback", "busy", "congestion" };
	const char *slash = strchr(name, '/');

	for (size_t i = 0; slash && i < sizeof(tones) / sizeof(tones[0]); i++) {
		if (strncmp(tones[i].country, name, (size_t)(slash - name)) ||
		    tones[i].country[slash - name])
			continue;
		for (size_t k = 0; k < E180_TONES; k++)
			if (!strcmp(slash + 1, names[k]))
				return tones[i].sounds[k];
	}
	return NULL;
}

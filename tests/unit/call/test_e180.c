/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>
#include "call/e180.h"
#include "media/sound.h"

static const char *const countries[] = { "it", "us", "uk", "gb", "de", "fr", "es",
					 "pt", "ch", "at", "nl", "be", "pl" };

static void countries_have_their_own_tones(void **state)
{
	assert_string_equal(e180_sound("it", E180_RINGBACK), "tone:425/1000,0/4000");
	assert_string_equal(e180_sound("us", E180_RINGBACK), "tone:440+480/2000,0/4000");
	assert_string_equal(e180_sound("uk", E180_BUSY), "tone:400/375,0/375");
	assert_string_equal(e180_sound("de", E180_CONGESTION), "tone:425/240,0/240");
	assert_string_equal(e180_sound("fr", E180_DIAL), "tone:440/0");
	assert_string_equal(e180_sound("xx", E180_BUSY), e180_sound("it", E180_BUSY));
	assert_string_equal(e180_sound(NULL, E180_BUSY), e180_sound("it", E180_BUSY));
}

static void all_of_them_can_be_played(void **state)
{
	struct sounds *sounds;

	assert_int_equal(sounds_alloc(&sounds, &(struct sounds_opts){ 0 }), 0);
	for (size_t i = 0; i < sizeof(countries) / sizeof(countries[0]); i++) {
		for (enum e180_tone tone = 0; tone < E180_TONES; tone++) {
			struct sound *sound;
			int err;

			do {
				err = sounds_get(&sound, sounds, e180_sound(countries[i], tone), 0);
				usleep(err ? 1000 : 0);
			} while (err == -EINPROGRESS);
			assert_int_equal(err, 0);
			sound_unref(sound);
		}
	}
	sounds_free(sounds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(countries_have_their_own_tones),
		cmocka_unit_test(all_of_them_can_be_played),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

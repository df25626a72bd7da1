/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_E180_H
#define AOIDE_CALL_E180_H

/*
 * The tones of telephone networks by country (ITU-T E.180 supplement 2), as sounds for media_play():
 * one period each, to be played in a loop. Pure.
 */
enum e180_tone { E180_DIAL, E180_RINGBACK, E180_BUSY, E180_CONGESTION, E180_TONES };

/* country: ISO 3166 code in small letters; an unknown one, or NULL, has the tones of Italy. */
const char *e180_sound(const char *country, enum e180_tone tone);

/* What a sound's name says of a country's tone, in another form than "tone:425/1000": "uk/busy" of "tone:uk/busy".
 * NULL: it is another sound. */
const char *e180_asked(const char *sound);

/* By name: "uk/busy" (dial, ringback, busy, congestion). NULL: there is no such country or tone. */
const char *e180_named(const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/q850.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * One table for both directions; the first row that matches counts. A row without `back` is not
 * used from cause to status (several codes share a cause).
 */
static const struct q850_row {
	uint16_t scode;
	uint8_t cause;
	bool forth, back;
} rows[] = {
	{ 404, 1, true, true },	 /* unallocated number */
	{ 404, 2, false, true }, /* no route to network */
	{ 404, 3, false, true }, /* no route to destination */
	{ 486, 17, true, true }, /* user busy */
	{ 600, 17, true, false },
	{ 408, 18, false, true }, /* no user responding */
	{ 480, 19, false, true }, /* no answer from the user */
	{ 480, 20, false, true }, /* subscriber absent */
	{ 480, 18, true, false },
	{ 403, 21, true, true }, /* call rejected: 603 only when the user said so */
	{ 603, 21, true, false },
	{ 401, 21, true, false },
	{ 402, 21, true, false },
	{ 407, 21, true, false },
	{ 410, 22, true, true }, /* number changed */
	{ 301, 22, true, false },
	{ 410, 23, false, true }, /* redirection to new destination */
	{ 404, 26, false, true }, /* non-selected user clearing */
	{ 502, 27, false, true }, /* destination out of order */
	{ 484, 28, true, true },  /* address incomplete */
	{ 501, 29, false, true }, /* facility rejected */
	{ 480, 31, false, true }, /* normal, unspecified */
	{ 487, 31, true, false },
	{ 503, 34, false, true }, /* no circuit available */
	{ 503, 38, false, true }, /* network out of order */
	{ 502, 38, true, false },
	{ 503, 41, true, true }, /* temporary failure */
	{ 400, 41, true, false },
	{ 481, 41, true, false },
	{ 500, 41, true, false },
	{ 503, 42, false, true }, /* switching equipment congestion */
	{ 503, 47, false, true }, /* resource unavailable */
	{ 403, 55, false, true }, /* incoming calls barred within CUG */
	{ 403, 57, false, true }, /* bearer capability not authorized */
	{ 503, 58, false, true }, /* bearer capability not available */
	{ 488, 65, true, true },  /* bearer capability not implemented */
	{ 415, 79, true, false },
	{ 606, 58, true, false },
	{ 488, 70, false, true }, /* only restricted digital available */
	{ 501, 79, true, true },  /* service not implemented */
	{ 405, 63, true, false },
	{ 406, 79, true, false },
	{ 403, 87, false, true }, /* user not member of CUG */
	{ 503, 88, false, true }, /* incompatible destination */
	{ 408, 102, true, false },
	{ 504, 102, true, true },  /* recovery on timer expiry */
	{ 500, 111, false, true }, /* protocol error */
	{ 513, 127, true, false },
	{ 414, 127, true, false },
	{ 413, 127, true, false },
	{ 416, 127, true, false },
	{ 420, 127, true, false },
	{ 421, 127, true, false },
	{ 423, 127, true, false },
	{ 505, 127, true, false },
	{ 482, 25, true, false }, /* exchange routing error */
	{ 483, 25, true, true },
	{ 485, 1, true, false },
	{ 604, 1, true, false },
	{ 500, 127, false, true }, /* interworking */
	{ 200, 16, true, false },  /* normal clearing */
	{ 480, 16, false, true },
};

uint8_t q850_from_sip(uint16_t scode)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].forth && rows[i].scode == scode)
			return rows[i].cause;
	}
	return scode >= 200 && scode < 300 ? 16 : 127;
}

uint16_t sip_from_q850(uint8_t cause)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].back && rows[i].cause == cause)
			return rows[i].scode;
	}
	return 500;
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_Q850_H
#define AOIDE_SIP_Q850_H

#include <stdint.h>

/* The mapping between SIP status codes and Q.850 causes (RFC 3398 sections 7.2.4.1 and 8.2.6.1). */
uint8_t q850_from_sip(uint16_t scode); /* 16 for 2xx, 127 for what has no row; never 0 */
uint16_t sip_from_q850(uint8_t cause); /* 500 for what has no row */

#endif

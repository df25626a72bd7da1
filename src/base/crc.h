/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_CRC_H
#define AOIDE_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32C (RFC 3720 appendix B.4) of data, continued from crc (0 to begin). Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif

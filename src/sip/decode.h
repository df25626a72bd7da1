/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_DECODE_H
#define AOIDE_SIP_DECODE_H

struct sip_msg;

/*
 * Gives back what the headers of a message need, two thirds of its memory. Transactions keep their request
 * for 32 s (RFC 3261 section 17.2.2) and look only at its first line, Via, Call-ID, CSeq and tags, which
 * stay. Afterwards no header is found in the message; pointers to headers are invalid, their text is not.
 * msg  made by sip_msg_decode(); may have been here before
 */
void decode_forget_headers(struct sip_msg *msg);

#endif

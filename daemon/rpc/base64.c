/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/base64.h"

void base64_add(struct buf *b, const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *p = data;

	buf_reserve(b, (len + 2) / 3 * 4);
	for (; len; p += 3) {
		size_t n = len < 3 ? len : 3;
		unsigned group = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) |
				 (n > 2 ? p[2] : 0);

		buf_addc(b, digits[group >> 18]);
		buf_addc(b, digits[group >> 12 & 63]);
		buf_addc(b, n > 1 ? digits[group >> 6 & 63] : '=');
		buf_addc(b, n > 2 ? digits[group & 63] : '=');
		len -= n;
	}
}

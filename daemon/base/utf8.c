/* SPDX-License-Identifier: MIT */
#include "config.h"
#include "daemon/base/utf8.h"

#include <string.h>

/* What the first byte says: the length, and the range of the second byte (which rules out overlong
 * forms and surrogates). */
static int head(unsigned char c, unsigned char *ret_low, unsigned char *ret_high)
{
	*ret_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	*ret_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

int utf8_char(const char *s, size_t n_bytes)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low, high;
	int len;

	if (!n_bytes)
		return -1;
	len = head(p[0], &low, &high);
	for (int i = 1; i < len; i++) {
		if ((size_t)i == n_bytes)
			return -1;
		if (p[i] < low || p[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

size_t utf8_prefix(const char *s, size_t n_bytes)
{
	size_t at = 0;

	while (at < n_bytes) {
		int len = (unsigned char)s[at] < 0x80 ? 1 : utf8_char(s + at, n_bytes - at);

		if (len <= 0)
			break;
		at += (size_t)len;
	}
	return at;
}

bool utf8_is_text(const char *s, size_t n_bytes)
{
	return !n_bytes || (!memchr(s, 0, n_bytes) && utf8_prefix(s, n_bytes) == n_bytes);
}

size_t utf8_cut_tail(const char *s, size_t n_bytes)
{
	for (size_t n = 1; n <= 3 && n <= n_bytes; n++) {
		const char *p = s + n_bytes - n;

		if (((unsigned char)*p & 0xc0) != 0x80)
			return utf8_char(p, n) == -1 ? n : 0;
	}
	return 0;
}

size_t utf8_bounded(const char *s, size_t max_bytes)
{
	size_t len = strnlen(s, max_bytes);

	return len - utf8_cut_tail(s, len);
}

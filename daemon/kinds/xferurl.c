/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferurl.h"

#include <string.h>
#include <strings.h>

#include "proto/xalloc.h"

#define TEXT_MAX_BYTES (8 * 1024)

char *xferurl_clean_text(const char *s)
{
	char *out = xstrndup(s, TEXT_MAX_BYTES);

	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
			*p = '?';
	return out;
}

char *xferurl_part(CURLU *u, CURLUPart part, unsigned flags)
{
	char *text = NULL, *copy;

	if (curl_url_get(u, part, &text, flags) != CURLUE_OK)
		return xstrdup("");
	copy = xstrdup(text);
	curl_free(text);
	return copy;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	cleanup_free char *ta = xferurl_part(a, part, CURLU_DEFAULT_PORT);
	cleanup_free char *tb = xferurl_part(b, part, CURLU_DEFAULT_PORT);

	return strcasecmp(ta, tb) == 0;
}

bool xferurl_same_origin(CURLU *a, CURLU *b)
{
	return same_part(a, b, CURLUPART_SCHEME) && same_part(a, b, CURLUPART_HOST) &&
	       same_part(a, b, CURLUPART_PORT);
}

bool xferurl_has_scheme(CURLU *u, const char *scheme)
{
	cleanup_free char *text = xferurl_part(u, CURLUPART_SCHEME, 0);

	return strcmp(text, scheme) == 0;
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Past a name of words with "-" or "." between them. */
static const char *skip_host(const char *p)
{
	while (is_word(*p) || ((*p == '-' || *p == '.') && is_word(p[-1]) && is_word(p[1])))
		p++;
	return p;
}

bool xferurl_is_plain(const char *url)
{
	static const char harmless[] = "/._~-?=&%+,";
	const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
			   : strncmp(url, "http://", 7) == 0 ? url + 7
							     : "";
	const char *p = skip_host(host);

	if (p == host)
		return false;
	if (*p == ':') {
		size_t n_digits = strspn(p + 1, "0123456789");

		/* Of more digits not every number is a port. */
		if (n_digits < 1 || n_digits > 4 || p[1] == '0')
			return false;
		p += 1 + n_digits;
	}
	if (*p && *p != '/')
		return false;
	while (is_word(*p) || (*p && strchr(harmless, *p)))
		p++;
	return !*p;
}

CURLU *xferurl_parse(const char *url, CURLUcode *ret_code)
{
	CURLU *u = curl_url();

	if (!u)
		xalloc_die();
	*ret_code = curl_url_set(u, CURLUPART_URL, url, CURLU_URLENCODE);
	if (*ret_code == CURLUE_OK)
		return u;
	curl_url_cleanup(u);
	return NULL;
}

CURLU *xferurl_dup(CURLU *u)
{
	CURLU *copy = curl_url_dup(u);

	if (!copy)
		xalloc_die();
	return copy;
}

CURLU *xferurl_resolve(CURLU *base, const char *location)
{
	CURLU *u = xferurl_dup(base);

	if (*location && curl_url_set(u, CURLUPART_URL, location,
				      CURLU_URLENCODE | CURLU_ALLOW_SPACE) == CURLUE_OK)
		return u;
	curl_url_cleanup(u);
	return NULL;
}

void xferurl_take_userinfo(CURLU *u, char **ret_user, char **ret_password)
{
	cleanup_free char *user = xferurl_part(u, CURLUPART_USER, CURLU_URLDECODE);
	cleanup_free char *password = xferurl_part(u, CURLUPART_PASSWORD, CURLU_URLDECODE);

	*ret_user = *ret_password = NULL;
	if (!*user && !*password)
		return;
	*ret_user = xstrdup(user);
	*ret_password = xstrdup(password);
	curl_url_set(u, CURLUPART_USER, NULL, 0);
	curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
}

char *xferurl_shown(CURLU *u, bool had_userinfo)
{
	CURLU *copy = xferurl_dup(u);
	cleanup_free char *text = NULL;

	if (had_userinfo)
		curl_url_set(copy, CURLUPART_USER, "***", 0);
	curl_url_set(copy, CURLUPART_FRAGMENT, NULL, 0);
	text = xferurl_part(copy, CURLUPART_URL, 0);
	curl_url_cleanup(copy);
	return xferurl_clean_text(text);
}

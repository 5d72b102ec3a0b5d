/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "proto/joburl.h"

#include <string.h>
#include <strings.h>

#include "proto/buf.h"
#include "proto/jobrefs.h"
#include "proto/xalloc.h"

/*
 * The parts of a URL that we look at; libcurl takes it apart for real.  The
 * authority is everything up to "/", "?" or "#", as libcurl has it, and the
 * user part everything in it before its last "@".
 */
struct url {
	const char *authority;
	const char *host; /* behind the user part; == authority without one */
	const char *end;  /* of the authority */
};

static bool url_split(const char *text, struct url *ret)
{
	if (strncasecmp(text, "http://", 7) == 0)
		ret->authority = text + 7;
	else if (strncasecmp(text, "https://", 8) == 0)
		ret->authority = text + 8;
	else
		return false;
	ret->end = ret->authority + strcspn(ret->authority, "/?#");
	ret->host = ret->authority;
	for (const char *p = ret->authority; p < ret->end; p++)
		if (*p == '@')
			ret->host = p + 1;
	return true;
}

/* A name or a literal address, then a port if there is one. */
static bool is_good_host(const char *host, const char *end)
{
	const char *p = host;
	long port = 0;

	if (p < end && *p == '[') {
		p = memchr(p, ']', (size_t)(end - p));
		if (!p || p == host + 1)
			return false;
		p++;
	} else {
		while (p < end && *p != ':')
			p++;
		if (p == host)
			return false;
	}
	if (p == end)
		return true;
	if (*p++ != ':')
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		port = port * 10 + (*p - '0');
		if (port > 65535)
			return false;
	}
	return true;
}

const char *joburl_check(const char *text)
{
	struct url url;

	if (!url_split(text, &url))
		return "must begin with http:// or https://";
	/* A backslash there is read in more than one way, which is how hosts get faked. */
	if (memchr(url.authority, '\\', (size_t)(url.end - url.authority)) ||
	    !is_good_host(url.host, url.end))
		return "has no valid host";
	return NULL;
}

/*
 * Must all of it be hidden?  What is no URL; and what will be one when its
 * references are replaced, if there is an "@": nobody knows yet of what.
 */
static bool is_all_secret(const json_t *value)
{
	const char *text = json_string_value(value);
	struct url url;

	if (text && jobrefs_has(value))
		return strchr(text, '@');
	return !text || !url_split(text, &url);
}

bool joburl_is_secret(const json_t *value)
{
	struct url url;

	if (is_all_secret(value))
		return true;
	return url_split(json_string_value(value), &url) && url.host > url.authority;
}

json_t *joburl_masked(json_t *value)
{
	const char *text = json_string_value(value);
	struct buf b = { 0 };
	struct url url;
	json_t *masked;

	if (is_all_secret(value))
		return xjson(json_string("***"));
	if (!url_split(text, &url) || url.host == url.authority)
		return json_incref(value);
	buf_add(&b, text, (size_t)(url.authority - text));
	buf_adds(&b, "***@");
	buf_adds(&b, url.host);
	masked = xjson(json_stringn(buf_terminate(&b), b.len));
	buf_fini(&b);
	return masked;
}

/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_KINDS_XFERURL_H
#define DAEMON_KINDS_XFERURL_H

#include <curl/curl.h>
#include <stdbool.h>

/*
 * What transfers want to know about URLs, on libcurl's parser: the one that
 * will connect decides what a URL means.  Texts that are returned are the
 * caller's to free.
 */

/* What a peer sent, made fit for a message or JSON: printable ASCII, bounded. */
char *xferurl_clean_text(const char *s);

/* One part of @u, "" when there is none. */
char *xferurl_part(CURLU *u, CURLUPart part, unsigned flags);

bool xferurl_same_origin(CURLU *a, CURLU *b);
bool xferurl_has_scheme(CURLU *u, const char *scheme);

/*
 * An http(s) URL of so plain a form that it needs no look by the parser, which
 * costs more than all other checks of a fetch.  No user, no escapes wanted.
 */
bool xferurl_is_plain(const char *url);

/*
 * Parse @url; NULL with @ret_code if it is none.  Characters beyond ASCII in
 * path and query are encoded, so that people may paste what they see.
 */
CURLU *xferurl_parse(const char *url, CURLUcode *ret_code);
CURLU *xferurl_dup(CURLU *u);

/* What @location, found in an answer from @base, points to; NULL if it is no URL. */
CURLU *xferurl_resolve(CURLU *base, const char *location);

/* Take user and password out of @u; NULL where there are none. */
void xferurl_take_userinfo(CURLU *u, char **ret_user, char **ret_password);

/* @u for people, "***" for a user part that was taken out of it. */
char *xferurl_shown(CURLU *u, bool had_userinfo);

#endif

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/kinds/xferrange.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/xalloc.h"

#define VALIDATOR_MAX_BYTES 1024
/* So many digits are a number that fits. */
#define DIGITS_MAX 18

/* ---- validators ---- */

/* '"' *etagc '"'.  What is not ASCII could not be kept as JSON, and nobody sends it. */
static bool is_strong_etag(const char *etag)
{
	size_t len = strlen(etag);

	if (len < 2 || len > VALIDATOR_MAX_BYTES || etag[0] != '"' || etag[len - 1] != '"')
		return false;
	for (size_t i = 1; i < len - 1; i++)
		if (etag[i] < 0x21 || etag[i] == '"' || etag[i] > 0x7e)
			return false;
	return true;
}

/*
 * A date tells one version from another only when nothing can have changed
 * after it in the same second: the answer was made in a later one (8.8.2.2).
 */
static bool is_strong_date(const char *last_modified, const char *date)
{
	time_t modified, made;

	for (const char *p = last_modified; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			return false;
	if (!date || strlen(last_modified) > VALIDATOR_MAX_BYTES)
		return false;
	modified = curl_getdate(last_modified, NULL);
	made = curl_getdate(date, NULL);
	return modified != -1 && made > modified;
}

const char *xferrange_pick(const char *etag, const char *last_modified, const char *date)
{
	/* Where there is a tag, a date must not take its place, even if the tag is weak. */
	if (etag)
		return is_strong_etag(etag) ? etag : NULL;
	return last_modified && is_strong_date(last_modified, date) ? last_modified : NULL;
}

/* ---- heads ---- */

/* The value of the header @name; NULL when there is none, or more than one. */
static const char *header_of(CURL *easy, const char *name)
{
	struct curl_header *h;

	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK || h->amount != 1)
		return NULL;
	return h->value;
}

/* Ranges are of what is transferred, and we keep that as it is; but what for, if it is encoded. */
static bool is_encoded(CURL *easy)
{
	struct curl_header *h;

	return curl_easy_header(easy, "Content-Encoding", 0, CURLH_HEADER, -1, &h) == CURLHE_OK &&
	       (h->amount != 1 || strcasecmp(h->value, "identity") != 0);
}

char *xferrange_validator(CURL *easy)
{
	const char *picked = NULL;

	if (!is_encoded(easy))
		picked = xferrange_pick(header_of(easy, "ETag"), header_of(easy, "Last-Modified"),
					header_of(easy, "Date"));
	return picked ? xstrdup(picked) : NULL;
}

/* ---- Content-Range ---- */

/* A number at @p, and past it. */
static const char *take_number(const char *p, int64_t *ret)
{
	size_t n = strspn(p, "0123456789");

	if (n == 0 || n > DIGITS_MAX || sscanf(p, "%" SCNd64, ret) != 1)
		return NULL;
	return p + n;
}

bool xferrange_fits(const char *content_range, const struct xfer_rest *rest, int64_t *ret_total)
{
	int64_t first, last, total = rest->total_bytes;
	const char *p = content_range;

	if (!p || strncasecmp(p, "bytes ", 6) != 0)
		return false;
	p = take_number(p + 6, &first);
	if (!p || *p != '-')
		return false;
	p = take_number(p + 1, &last);
	if (!p || *p != '/')
		return false;
	if (strcmp(p + 1, "*") != 0) {
		p = take_number(p + 1, &total);
		if (!p || *p)
			return false;
	}
	/* A part of the rest would leave a file without its end. */
	if (first != rest->from_bytes || last < first || last != total - 1 ||
	    (rest->total_bytes >= 0 && total != rest->total_bytes))
		return false;
	*ret_total = total;
	return true;
}

/*
 * A server that knows ranges but not If-Range sends the rest of whatever is
 * there now; then its own tag or date gives it away.
 */
static bool is_same(CURL *easy, const char *validator)
{
	bool is_tag = validator[0] == '"';
	const char *now = header_of(easy, is_tag ? "ETag" : "Last-Modified");

	/* The tag is always sent along; a date that was asked for need not be (15.3.7). */
	return now ? strcmp(now, validator) == 0 : !is_tag;
}

bool xferrange_is_rest(CURL *easy, const struct xfer_rest *rest, int64_t *ret_total)
{
	curl_off_t length = -1;
	int64_t total;

	if (is_encoded(easy) || !is_same(easy, rest->validator) ||
	    !xferrange_fits(header_of(easy, "Content-Range"), rest, &total))
		return false;
	curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (length >= 0 && length != total - rest->from_bytes)
		return false;
	*ret_total = total;
	return true;
}

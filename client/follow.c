/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/follow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/feed.h"
#include "client/jobprint.h"
#include "client/out.h"
#include "proto/limits.h"
#include "proto/xalloc.h"

/* ---- base64 ---- */

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, size_t len, char **ret, size_t *ret_len)
{
	cleanup_free char *data = xmalloc(len / 4 * 3 + 3);
	unsigned bits = 0;
	size_t n = 0;
	size_t n_digits = 0;

	while (len > 0 && text[len - 1] == '=')
		len--;
	for (; n_digits < len; n_digits++) {
		int d = digit(text[n_digits]);

		if (d < 0)
			return -EINVAL;
		bits = bits << 6 | (unsigned)d;
		if (n_digits % 4 != 0)
			data[n++] = (char)(bits >> (6 - 2 * (n_digits % 4)));
	}
	if (n_digits % 4 == 1)
		return -EINVAL;
	*ret = data;
	*ret_len = n;
	data = NULL;
	return 0;
}

/* ---- pieces ---- */

static void put(const struct follow *f, const char *stream, const char *data, size_t len)
{
	if (f->is_split && stream != NULL && strcmp(stream, "stderr") == 0) {
		/* Both streams may be one terminal: keep their order. */
		out_flush();
		fwrite(data, 1, len, stderr);
	} else {
		out_bytes(data, len);
	}
}

/* Print the data of a reply or notification and go on behind it. */
static void take_piece(struct follow *f, const json_t *piece)
{
	const char *stream = json_string_value(json_object_get(piece, "stream"));
	const json_t *data = json_object_get(piece, "data");
	const json_t *base64 = json_object_get(piece, "data_base64");
	const json_t *offset = json_object_get(piece, "offset");
	int64_t dropped = json_integer_value(json_object_get(piece, "dropped"));
	char *bytes;
	size_t len;

	if (dropped > 0)
		out_note("%lld bytes of job %lld's output are left out here: they were over its "
			 "limit",
			 (long long)dropped, (long long)f->id);
	if (json_is_string(data)) {
		put(f, stream, json_string_value(data), json_string_length(data));
	} else if (json_is_string(base64) &&
		   base64_decode(json_string_value(base64), json_string_length(base64), &bytes,
				 &len) == 0) {
		put(f, stream, bytes, len);
		free(bytes);
	}
	if (json_is_integer(offset))
		f->offset = json_integer_value(offset);
}

static json_t *params_of(const struct follow *f, bool is_following)
{
	json_t *params = json_object();

	json_object_set_new(params, "id", json_integer(f->id));
	if (f->attempt > 0 && (f->is_pinned || !is_following))
		json_object_set_new(params, "attempt", json_integer(f->attempt));
	json_object_set_new(params, "stream", json_string(f->stream));
	json_object_set_new(params, "offset", json_integer(f->offset));
	if (is_following)
		json_object_set_new(params, "follow", json_true());
	else
		json_object_set_new(params, "limit", json_integer(OUTPUT_CHUNK_MAX_BYTES));
	return params;
}

/* ---- what there is ---- */

int output_copy(struct follow *f)
{
	bool is_at_end = false;

	while (!is_at_end) {
		struct reply reply = { 0 };
		int64_t before = f->offset;
		int status = client_call(f->client, CALL_AGAIN, "job.output", params_of(f, false),
					 &reply);

		if (status != STATUS_OK)
			return status;
		if (f->client->is_json)
			out_line(reply.text, reply.text_len);
		take_piece(f, f->client->is_json ? NULL : reply.result);
		if (f->client->is_json)
			f->offset = json_integer_value(json_object_get(reply.result, "offset"));
		/* Neither "eof" nor progress: all there is so far, the job still runs. */
		is_at_end =
			json_is_true(json_object_get(reply.result, "eof")) || f->offset <= before;
		reply_fini(&reply);
	}
	return STATUS_OK;
}

/* ---- what comes ---- */

static void on_notification(struct client *client, const struct reply *notification)
{
	struct follow *f = client->notification_arg;

	if (strcmp(notification->method, "job.output") != 0)
		return;
	f->has_got = true;
	if (client->is_json) {
		const json_t *offset = json_object_get(notification->params, "offset");

		out_json(notification->params);
		if (json_is_integer(offset))
			f->offset = json_integer_value(offset);
	} else {
		take_piece(f, notification->params);
	}
	/* Somebody is watching. */
	out_flush();
}

static int end_of_follow(struct follow *f, struct reply *reply)
{
	if (reply->error != NULL)
		return out_refused(reply->error, NULL);
	if (f->client->is_json)
		out_line(reply->text, reply->text_len);
	else if (json_integer_value(json_object_get(reply->result, "offset")) > f->offset)
		take_piece(f, reply->result);
	out_flush();
	return STATUS_OK;
}

/*
 * Which attempt is it?  It has to be named when the connection was lost: by
 * then there may be a later one, in whose output our offset means nothing.
 * One that has not begun cannot be named; it is the first.
 */
static int pin(struct follow *f)
{
	json_t *params = json_pack("{s:I}", "id", (json_int_t)f->id);
	struct reply reply = { 0 };
	int64_t latest;
	int status = client_call(f->client, CALL_PATIENTLY, "job.get", params, &reply);

	if (status != STATUS_OK)
		return status;
	latest = json_integer_value(json_object_get(reply.result, "attempt"));
	f->attempt = latest > 0 ? latest : 1;
	f->is_pinned = latest > 0;
	reply_fini(&reply);
	return STATUS_OK;
}

static int follow(struct follow *f)
{
	struct client *client = f->client;
	int64_t until_us = 0;
	int status = STATUS_OK;

	if (f->attempt > 0)
		f->is_pinned = true;
	else
		status = pin(f);
	while (status == STATUS_OK) {
		json_t *params = params_of(f, true);
		struct reply reply = { 0 };
		int r;

		f->has_got = false;
		r = client_ask(client, "job.output", params, &reply);
		json_decref(params);
		if (r == 0 && (reply.error == NULL || !client_is_stopping(&reply))) {
			status = end_of_follow(f, &reply);
			reply_fini(&reply);
			break;
		}
		reply_fini(&reply);
		if (f->has_got)
			until_us = 0;
		f->is_pinned = f->is_pinned || f->offset > 0;
		status = client_reconnect(client, r, &until_us);
	}
	return status;
}

int output_follow(struct follow *f)
{
	int status;

	f->client->on_notification = on_notification;
	f->client->notification_arg = f;
	status = follow(f);
	f->client->on_notification = NULL;
	return status;
}

/* ---- attempt by attempt ---- */

struct next {
	int64_t attempt; /* that has been followed */
	int64_t begun;	 /* the latest that there is */
};

/* Wait on while the job is not done and has no further attempt. */
static bool see(void *arg, const json_t *job)
{
	struct next *n = arg;

	n->begun = json_integer_value(json_object_get(job, "attempt"));
	return n->begun <= n->attempt && !job_is_done(job);
}

int output_follow_job(struct follow *f)
{
	struct next n = { 0 };
	int status = output_follow(f);

	while (status == STATUS_OK) {
		n.attempt = f->attempt;
		status = job_follow(f->client, f->id, see, &n);
		if (status != STATUS_OK || n.begun <= n.attempt)
			break;
		/* They came one after the other while we read: none is passed over. */
		f->attempt++;
		f->offset = 0;
		if (f->tells_attempts)
			out_note("attempt %lld of job %lld:", (long long)f->attempt,
				 (long long)f->id);
		status = output_follow(f);
	}
	return status;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "client/feed.h"

#include <errno.h>
#include <string.h>

#include "client/interrupt.h"
#include "client/jobprint.h"
#include "client/out.h"

/* ---- events ---- */

static void take(struct feed *f, const json_t *event)
{
	const json_t *seq = json_object_get(event, "seq");

	if (json_is_integer(seq))
		f->since = json_integer_value(seq);
	if (!f->is_over && !f->on_event(f, event))
		f->is_over = true;
}

static void on_notification(struct client *client, const struct reply *notification)
{
	if (strcmp(notification->method, "event") == 0)
		take(client->notification_arg, notification->params);
}

static json_t *params_of(const struct feed *f)
{
	json_t *params = json_object();

	if (f->since != FEED_FROM_NOW)
		json_object_set_new(params, "since", json_integer(f->since));
	if (f->jobs != NULL)
		json_object_set(params, "jobs", (json_t *)f->jobs);
	if (f->kinds != NULL)
		json_object_set(params, "kinds", (json_t *)f->kinds);
	return params;
}

int feed_open(struct feed *f)
{
	struct reply reply = { 0 };
	int status;

	f->client->on_notification = on_notification;
	f->client->notification_arg = f;
	status = client_call(f->client, CALL_PATIENTLY, "events.subscribe", params_of(f), &reply);
	if (status == STATUS_OK && f->since == FEED_FROM_NOW)
		f->since = json_integer_value(json_object_get(reply.result, "next"));
	reply_fini(&reply);
	return status;
}

/* Unsubscribe: what the connection is used for next is not disturbed. */
static void unsubscribe(struct feed *f)
{
	struct reply reply = { 0 };

	f->client->on_notification = NULL;
	if (f->client->conn.is_open)
		(void)client_ask(f->client, "events.unsubscribe", NULL, &reply);
	reply_fini(&reply);
}

/* A signal ends the feed, or cancels the job that the client runs. */
static void take_signal(struct feed *f)
{
	if (f->stops_at_signal)
		f->is_over = true;
	else
		client_cancel(f->client);
}

static int reopen(struct feed *f, int r)
{
	int64_t until_us = 0;
	int status = client_reconnect(f->client, r, &until_us);

	return status == STATUS_OK ? feed_open(f) : status;
}

int feed_run(struct feed *f, int64_t until_us)
{
	int status = STATUS_OK;

	while (status == STATUS_OK && !f->is_over) {
		struct reply reply = { 0 };
		int r;

		/* It may have come while another call waited. */
		if (f->stops_at_signal && f->client->is_cancelling)
			break;
		r = conn_receive(&f->client->conn, until_us, &reply);

		if (r == 0 && reply.method != NULL)
			on_notification(f->client, &reply);
		else if (r == -EINTR)
			take_signal(f);
		else if (r == -ETIMEDOUT)
			break;
		else if (r < 0)
			status = reopen(f, r);
		reply_fini(&reply);
	}
	return status;
}

/* ---- one job ---- */

struct seeing {
	bool (*see)(void *arg, const json_t *job);
	void *arg;
	bool must_look; /* events were left out */
};

static bool see_event(struct feed *f, const json_t *event)
{
	struct seeing *s = f->arg;
	const json_t *job = json_object_get(event, "job");

	s->must_look = !json_is_object(job);
	return !s->must_look && s->see(s->arg, job);
}

static int look(struct feed *f, int64_t id)
{
	struct seeing *s = f->arg;
	struct reply reply = { 0 };
	int status = client_call(f->client, CALL_PATIENTLY, "job.get",
				 json_pack("{s:I}", "id", (json_int_t)id), &reply);

	if (status == STATUS_OK && !f->is_over)
		f->is_over = !s->see(s->arg, reply.result);
	reply_fini(&reply);
	return status;
}

int job_follow(struct client *client, int64_t id, bool (*see)(void *arg, const json_t *job),
	       void *arg)
{
	struct seeing s = { .see = see, .arg = arg };
	json_t *jobs = json_pack("[I]", (json_int_t)id);
	struct feed f = {
		.client = client,
		.jobs = jobs,
		.since = FEED_FROM_NOW,
		.on_event = see_event,
		.arg = &s,
	};
	int status = feed_open(&f);

	/* First the subscription, then the look: nothing falls between the two. */
	if (status == STATUS_OK)
		status = look(&f, id);
	if (status == STATUS_OK)
		status = feed_run(&f, -1);
	while (status == STATUS_OK && s.must_look) {
		f.is_over = s.must_look = false;
		status = look(&f, id);
		if (status == STATUS_OK)
			status = feed_run(&f, -1);
	}
	unsubscribe(&f);
	json_decref(jobs);
	return status;
}

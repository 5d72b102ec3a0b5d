/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/users.h"

#include "daemon/co/await.h"
#include "proto/xalloc.h"

#include <pwd.h>
#include <stdbool.h>
#include <unistd.h>

/* Longer entries (gecos fields of some directories) are not worth a name. */
#define PASSWD_BYTES 16384

struct waiter {
	struct waiter *next;
	void (*done)(void *arg);
	void *arg;
};

struct user {
	struct offload look_up;
	struct user *next;
	uid_t uid;
	char *name; /* owns, NULL = none */
	bool is_known;
	struct waiter *waiters;
};

/* As many as there are users of this daemon: a handful. */
static struct user *users;

static void look_up_work(struct offload *o)
{
	struct user *u = container_of(o, struct user, look_up);
	struct passwd pw, *found = NULL;
	cleanup_free char *text = xmalloc(PASSWD_BYTES);

	if (getpwuid_r(u->uid, &pw, text, PASSWD_BYTES, &found) == 0 && found)
		u->name = xstrdup(pw.pw_name);
}

static void look_up_done(struct offload *o)
{
	struct user *u = container_of(o, struct user, look_up);
	struct waiter *w = u->waiters;

	u->is_known = true;
	u->waiters = NULL;
	while (w) {
		struct waiter *next = w->next;

		w->done(w->arg);
		free(w);
		w = next;
	}
}

static struct user *find(uid_t uid)
{
	struct user *u;

	for (u = users; u; u = u->next)
		if (u->uid == uid)
			return u;
	u = xcalloc(1, sizeof(*u));
	u->uid = uid;
	u->look_up.work = look_up_work;
	u->look_up.done = look_up_done;
	u->next = users;
	users = u;
	offload_submit(&u->look_up);
	return u;
}

const char *users_name(uid_t uid)
{
	const struct user *u = find(uid);

	return u->is_known ? u->name : NULL;
}

void users_look_up(uid_t uid, void (*done)(void *arg), void *arg)
{
	struct user *u = find(uid);
	struct waiter *w;

	if (u->is_known) {
		done(arg);
		return;
	}
	w = xmalloc(sizeof(*w));
	*w = (struct waiter){ .next = u->waiters, .done = done, .arg = arg };
	u->waiters = w;
}

void users_fini(void)
{
	while (users) {
		struct user *u = users;

		users = u->next;
		while (u->waiters) {
			struct waiter *w = u->waiters;

			u->waiters = w->next;
			free(w);
		}
		free(u->name);
		free(u);
	}
}

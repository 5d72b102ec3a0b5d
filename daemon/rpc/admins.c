/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/admins.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/now.h"
#include "daemon/co/await.h"
#include "daemon/conf.h"
#include "daemon/log.h"
#include "proto/xalloc.h"

/* A group's entry has its members' names, which may be many. */
#define GROUP_FIRST_BYTES 16384
#define GROUP_MAX_BYTES ((size_t)4 * 1024 * 1024)
#define PEER_GROUPS_FIRST 64
/* NGROUPS_MAX of the kernel. */
#define PEER_GROUPS_MAX 65536

struct waiter {
	struct waiter *next;
	void (*done)(void *arg);
	void *arg;
};

static struct {
	struct offload look_up;
	char *name; /* owns; what is being looked up, or was */
	/* what the thread found; the loop's only while it does not run */
	gid_t found_gid;
	bool was_found;
	int error;
	bool is_busy;
	bool is_stale; /* the answer that comes is to a question that nobody asks any more */
	/* the answer in force */
	bool is_known, is_there;
	gid_t gid;
	struct mono fresh_until;
	struct waiter *waiters;
} admins;

static void look_up_work(struct offload *o)
{
	size_t size = GROUP_FIRST_BYTES;
	struct group group, *found = NULL;
	int r;

	(void)o;
	do {
		cleanup_free char *text = xmalloc(size);

		r = getgrnam_r(admins.name, &group, text, size, &found);
		admins.was_found = r == 0 && found;
		admins.found_gid = admins.was_found ? found->gr_gid : 0;
		size *= 2;
	} while (r == ERANGE && size <= GROUP_MAX_BYTES);
	/* Some sources of names say it so that there is no such group. */
	admins.error = r == ENOENT || r == ESRCH ? 0 : r;
}

static void look_up(void);

static void look_up_done(struct offload *o)
{
	struct waiter *w;

	(void)o;
	admins.is_busy = false;
	if (admins.is_stale) {
		look_up();
		return;
	}
	/* Who could not be asked leaves what we knew in force. */
	if (admins.error)
		log_warning("the group %s cannot be looked up: %s", admins.name,
			    strerror(admins.error));
	if (!admins.error || !admins.is_known) {
		admins.is_there = admins.was_found;
		admins.gid = admins.found_gid;
	}
	admins.is_known = true;
	admins.fresh_until = mono_in_us(conf->admin_refresh_us);
	w = admins.waiters;
	admins.waiters = NULL;
	while (w) {
		struct waiter *next = w->next;

		w->done(w->arg);
		free(w);
		w = next;
	}
}

static bool is_wanted(void)
{
	return conf->is_system && conf->admin_group && *conf->admin_group;
}

static void look_up(void)
{
	if (admins.is_busy)
		return;
	admins.is_busy = true;
	admins.is_stale = false;
	free(admins.name);
	admins.name = xstrdup(is_wanted() ? conf->admin_group : "");
	admins.look_up.work = look_up_work;
	admins.look_up.done = look_up_done;
	offload_submit(&admins.look_up);
}

void admins_look_up(void (*done)(void *arg), void *arg)
{
	struct waiter *w;

	if (!is_wanted()) {
		done(arg);
		return;
	}
	if (!admins.is_known || now_mono().ns >= admins.fresh_until.ns)
		look_up();
	if (admins.is_known) {
		done(arg);
		return;
	}
	w = xmalloc(sizeof(*w));
	*w = (struct waiter){ .next = admins.waiters, .done = done, .arg = arg };
	admins.waiters = w;
}

/* Supplementary groups, of the moment when the peer connected. */
static bool is_in_groups(int fd, gid_t gid)
{
	size_t n = PEER_GROUPS_FIRST;

	while (n <= PEER_GROUPS_MAX) {
		socklen_t size = (socklen_t)(n * sizeof(gid_t));
		cleanup_free gid_t *groups = xmalloc(size);

		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
			for (size_t i = 0; i < size / sizeof(gid_t); i++)
				if (groups[i] == gid)
					return true;
			return false;
		}
		if (errno != ERANGE)
			return false;
		n = size / sizeof(gid_t) > n ? size / sizeof(gid_t) : 2 * n;
	}
	return false;
}

bool admins_has_peer(int fd, gid_t gid)
{
	return is_wanted() && admins.is_known && admins.is_there &&
	       (gid == admins.gid || is_in_groups(fd, admins.gid));
}

void admins_forget(void)
{
	admins.is_known = false;
	admins.is_stale = admins.is_busy;
}

void admins_fini(void)
{
	while (admins.waiters) {
		struct waiter *w = admins.waiters;

		admins.waiters = w->next;
		free(w);
	}
	free(admins.name);
	admins.name = NULL;
	admins.is_known = false;
}

/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/server.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/co/loop.h"
#include "daemon/conf.h"
#include "daemon/job/users.h"
#include "daemon/log.h"
#include "daemon/notify.h"
#include "daemon/rpc/admins.h"
#include "daemon/rpc/conn.h"
#include "daemon/rpc/dispatch.h"
#include "daemon/rpc/events.h"
#include "proto/buf.h"
#include "proto/message.h"
#include "proto/xalloc.h"

#define LISTENERS_MAX 4
#define BACKLOG 128
#define ACCEPTS_PER_TURN 16
#define PAUSE_US 100000
#define CALLS_END_US 5000000
/* At the stop: so long for answers that are on their way. */
#define LAST_WORDS_US 1000000
#define TURNED_AWAY_MAX 4096

static struct {
	struct loop_fd listeners[LISTENERS_MAX];
	int n_listeners;
	struct loop_timer pause; /* out of descriptors: nobody is accepted until it fires */
	int spare_fd;
	char *bound_path; /* owns; NULL: systemd's sockets */
	dev_t bound_dev;
	ino_t bound_ino;
	struct wall started_at;
	struct server_stats stats;
} server = { .spare_fd = -1 };

/* ---- accepting ---- */

static int64_t max_connections(uid_t uid)
{
	return uid == 0 ? conf->max_connections : conf->max_connections - conf->reserved_for_root;
}

/* May @uid have one more connection? */
static int check_peer(uid_t uid, struct aw_err *err)
{
	struct conn_stats open;

	if (!conf->is_system && uid != 0 && uid != geteuid())
		return aw_fail(err, AW_DENIED, "this daemon serves uid %d only", (int)geteuid());
	conn_stats(&open);
	if ((int64_t)open.n_open >= max_connections(uid))
		return aw_fail(err, AW_LIMIT,
			       "the daemon has as many connections as it takes (%d, setting "
			       "connections.max_connections)",
			       (int)conf->max_connections);
	if (uid != 0 && (int64_t)conn_count_of(uid) >= conf->max_connections_per_user)
		return aw_fail(err, AW_LIMIT,
			       "you have as many connections as one user may have (%d, setting "
			       "connections.max_connections_per_user)",
			       (int)conf->max_connections_per_user);
	return 0;
}

/* Say why, as far as the socket takes it at once, and close. */
static void refuse(int fd, const struct aw_err *err)
{
	struct buf b = { 0 };

	server.stats.n_refused++;
	message_add_error(&b, NULL, err);
	buf_addc(&b, '\n');
	(void)send(fd, b.data, b.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_fini(&b);
	close(fd);
}

static void on_admins_known(void *arg)
{
	conn_named((uid_t)(uintptr_t)arg);
}

static void on_named(void *arg)
{
	admins_look_up(on_admins_known, arg);
}

/* Takes @fd. */
static void welcome(int fd)
{
	struct ucred peer = { 0 };
	socklen_t len = sizeof(peer);
	struct aw_err err = { 0 };

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0) {
		log_error("a peer's credentials cannot be read: %s", strerror(errno));
		close(fd);
		return;
	}
	if (check_peer(peer.uid, &err) < 0)
		refuse(fd, &err);
	else if (conn_new(fd, peer.uid, peer.gid))
		users_look_up(peer.uid, on_named, (void *)(uintptr_t)peer.uid);
	aw_err_fini(&err);
}

static void listen_on(unsigned want)
{
	for (int i = 0; i < server.n_listeners; i++)
		(void)loop_fd_want(&server.listeners[i], want);
}

static void on_pause_over(struct loop_timer *timer)
{
	(void)timer;
	listen_on(LOOP_READ);
}

static void open_spare(void)
{
	if (server.spare_fd < 0)
		server.spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * No descriptor is left.  The peer at the head of the backlog would keep the
 * listener readable for ever (finding 6): it is let in through the spare
 * descriptor to be told, and nobody else for a while.
 */
static void out_of_descriptors(int listener)
{
	struct aw_err err = { 0 };
	int fd;

	if (server.spare_fd >= 0)
		close(server.spare_fd);
	server.spare_fd = -1;
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		aw_fail(&err, AW_LIMIT,
			"the daemon has no file descriptor left; try again in a moment");
		refuse(fd, &err);
		aw_err_fini(&err);
	}
	open_spare();
	listen_on(0);
	loop_timer_set(&server.pause, mono_in_us(PAUSE_US));
}

static bool is_out_of_resources(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_listener(struct loop_fd *lfd, unsigned ready)
{
	(void)ready;
	for (int i = 0; i < ACCEPTS_PER_TURN && !loop_timer_is_set(&server.pause); i++) {
		int fd = accept4(lfd->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			welcome(fd);
		} else if (is_out_of_resources(errno)) {
			log_warning("a connection cannot be accepted: %s", strerror(errno));
			out_of_descriptors(lfd->fd);
		} else {
			/* EAGAIN, or a peer that has given up meanwhile. */
			break;
		}
	}
}

/* ---- a socket of our own ---- */

static int fill_address(struct sockaddr_un *addr, const char *path, struct aw_err *err)
{
	size_t len = strlen(path);

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len >= sizeof(addr->sun_path))
		return aw_fail(err, AW_IO,
			       "%s: a socket's path may have %zu bytes, this has %zu; choose a "
			       "shorter one "
			       "with --socket",
			       path, sizeof(addr->sun_path) - 1, len);
	memcpy(addr->sun_path, path, len + 1);
	return 0;
}

/* The group that is to reach the system's socket, or -1: ours.  May block: start-up. */
static gid_t socket_group(void)
{
	const struct group *group;

	if (!conf->is_system || !conf->socket_group || !*conf->socket_group)
		return (gid_t)-1;
	group = getgrnam(conf->socket_group);
	if (!group)
		log_notice("there is no group %s: the socket belongs to the daemon's own group",
			   conf->socket_group);
	return group ? group->gr_gid : (gid_t)-1;
}

/* Not being allowed to is no reason to stay away: then it is for our own group. */
static void give_to_group(const char *path)
{
	gid_t gid = socket_group();

	if (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) < 0)
		log_warning("%s cannot be given to the group %s: %s", path, conf->socket_group,
			    strerror(errno));
}

/* Made by us, for the system's socket: the group may pass, which our umask took away. */
static int open_folder(const char *folder, struct aw_err *err)
{
	give_to_group(folder);
	if (chmod(folder, 0750) < 0)
		return aw_fail(err, AW_IO, "%s: %s", folder, strerror(errno));
	return 0;
}

static int make_folder(const char *path, struct aw_err *err)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *folder = xstrndup(path, slash > path ? (size_t)(slash - path) : 1);

	if (mkdir(folder, 0700) == 0)
		return conf->is_system ? open_folder(folder, err) : 0;
	if (errno == EEXIST)
		return 0;
	return aw_fail(err, AW_IO, "%s: the socket's folder cannot be made: %s", folder,
		       strerror(errno));
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* Nobody listens at @addr: the socket of a daemon that was killed. */
static int check_dead(const struct sockaddr_un *addr, struct aw_err *err)
{
	int fd = new_socket(), r = 0;

	if (fd < 0)
		return aw_fail(err, AW_IO, "no socket can be made: %s", strerror(-fd));
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno == EAGAIN)
		r = aw_fail(err, AW_IO, "%s: another daemon answers at this socket",
			    addr->sun_path);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = aw_fail(err, AW_IO, "%s: %s", addr->sun_path, strerror(errno));
	close(fd);
	return r;
}

static int remove_stale(const struct sockaddr_un *addr, struct aw_err *err)
{
	const char *path = addr->sun_path;
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : aw_fail(err, AW_IO, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return aw_fail(err, AW_IO,
			       "%s: this is there already and is no socket; move it away, or "
			       "choose another "
			       "place with --socket",
			       path);
	if (check_dead(addr, err) < 0)
		return -EINVAL;
	if (unlink(path) < 0 && errno != ENOENT)
		return aw_fail(err, AW_IO,
			       "%s: the socket of an earlier daemon cannot be removed: %s", path,
			       strerror(errno));
	return 0;
}

/*
 * The file appears with the descriptor's mode, so that it is never open to
 * more than it should be, not even for a moment; our umask may have taken
 * bits away.  Nobody can connect before listen().
 */
static int bind_socket(int fd, const struct sockaddr_un *addr, struct aw_err *err)
{
	mode_t mode = conf->is_system ? 0660 : 0600;
	struct stat st;

	if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return aw_fail(err, AW_IO, "%s: %s", addr->sun_path, strerror(errno));
	server.bound_path = xstrdup(addr->sun_path);
	if (lstat(addr->sun_path, &st) < 0 ||
	    ((st.st_mode & 0777) != mode && chmod(addr->sun_path, mode) < 0))
		return aw_fail(err, AW_IO, "%s: %s", addr->sun_path, strerror(errno));
	/* Before listen() nobody can connect, whatever the group is. */
	give_to_group(addr->sun_path);
	server.bound_dev = st.st_dev;
	server.bound_ino = st.st_ino;
	if (listen(fd, BACKLOG) < 0)
		return aw_fail(err, AW_IO, "%s: %s", addr->sun_path, strerror(errno));
	return 0;
}

static int own_socket(int *ret_fd, struct aw_err *err)
{
	struct sockaddr_un addr;
	int fd;

	if (fill_address(&addr, conf->socket_path, err) < 0 ||
	    make_folder(conf->socket_path, err) < 0 || remove_stale(&addr, err) < 0)
		return -EINVAL;
	fd = new_socket();
	if (fd < 0)
		return aw_fail(err, AW_IO, "no socket can be made: %s", strerror(-fd));
	if (bind_socket(fd, &addr, err) < 0) {
		close(fd);
		return -EINVAL;
	}
	*ret_fd = fd;
	return 0;
}

/* ---- open, close ---- */

static int find_sockets(int *ret_fds, struct aw_err *err)
{
	int n = notify_listen_fds(ret_fds, LISTENERS_MAX);

	if (n < 0)
		return aw_fail(err, AW_IO,
			       "systemd passed something else than 1 to %d listening Unix stream "
			       "sockets: %s",
			       LISTENERS_MAX, strerror(-n));
	if (n == 0) {
		if (own_socket(ret_fds, err) < 0)
			return -EINVAL;
		n = 1;
	}
	return n;
}

int server_open(struct aw_err *err)
{
	int fds[LISTENERS_MAX], n = find_sockets(fds, err);

	if (n < 0) {
		server_close();
		return n;
	}
	server.started_at = now_wall();
	server.pause.fn = on_pause_over;
	open_spare();
	for (int i = 0; i < n; i++) {
		int r = loop_fd_open(&server.listeners[i], fds[i], LOOP_READ, on_listener);

		server.n_listeners = i + 1;
		if (r < 0) {
			server_close();
			return aw_fail(err, AW_IO, "a listening socket cannot be watched: %s",
				       strerror(-r));
		}
	}
	return 0;
}

/* Only the file that is ours: somebody may have put another socket in its place. */
static void remove_bound(void)
{
	struct stat st;

	if (!server.bound_path)
		return;
	if (lstat(server.bound_path, &st) == 0 && st.st_dev == server.bound_dev &&
	    st.st_ino == server.bound_ino)
		(void)unlink(server.bound_path);
	free(server.bound_path);
	server.bound_path = NULL;
}

/* Accept nobody any more; remove our socket's file (systemd's stay). */
static void stop_listening(void)
{
	loop_timer_cancel(&server.pause);
	remove_bound();
	for (int i = 0; i < server.n_listeners; i++) {
		loop_fd_close(&server.listeners[i]);
		close(server.listeners[i].fd);
	}
	server.n_listeners = 0;
	if (server.spare_fd >= 0)
		close(server.spare_fd);
	server.spare_fd = -1;
}

static void on_calls_end(struct loop_timer *timer)
{
	(void)timer; /* it is enough that the loop turns */
}

static void turn_until(bool (*is_over)(void), int64_t most_us)
{
	struct mono end = mono_in_us(most_us);
	struct loop_timer alarm = { .fn = on_calls_end };

	/* Nothing else need happen meanwhile: on a full disk no change ever lands. */
	loop_timer_set(&alarm, end);
	while (!is_over() && now_mono().ns < end.ns)
		(void)loop_turn(true);
	loop_timer_cancel(&alarm);
}

static bool is_all_told(void)
{
	struct dispatch_stats calls;

	dispatch_stats(&calls);
	return calls.n_calls == calls.n_idle && events_are_told();
}

static bool are_calls_over(void)
{
	struct dispatch_stats calls;

	dispatch_stats(&calls);
	return !calls.n_calls && !calls.n_heavy;
}

/*
 * The last jobs have just ended: who waits for them looks at them once more,
 * and who reads along has not read to the end.
 */
static void tell_the_last(void)
{
	conn_hear_no_more();
	turn_until(is_all_told, LAST_WORDS_US);
}

/* Queries that are with the store, and coroutines that read output: they own memory and end by
 * themselves. */
static void wait_for_calls(void)
{
	struct dispatch_stats calls;

	turn_until(are_calls_over, CALLS_END_US);
	dispatch_stats(&calls);
	if (calls.n_calls)
		log_warning("%zu calls did not end in time", calls.n_calls);
}

void server_close(void)
{
	stop_listening();
	tell_the_last();
	conn_close_all();
	wait_for_calls();
}

void server_turn_away(const char *message)
{
	int fds[LISTENERS_MAX], n = notify_listen_fds(fds, LISTENERS_MAX);
	struct aw_err err = { 0 };

	aw_fail(&err, AW_INTERNAL, "the daemon cannot start: %s", message);
	for (int i = 0, left = TURNED_AWAY_MAX; i < n; i++) {
		int fd;

		while (left-- > 0 && (fd = accept4(fds[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			refuse(fd, &err);
	}
	aw_err_fini(&err);
}

struct wall server_started_at(void)
{
	return server.started_at;
}

void server_stats(struct server_stats *ret)
{
	*ret = server.stats;
}

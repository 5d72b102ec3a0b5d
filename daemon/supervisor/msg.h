/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_SUPERVISOR_MSG_H
#define DAEMON_SUPERVISOR_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the daemon and the supervisor say to each other, on a stream socket.
 * Every message is {u32 length of the rest, u16 type, u16 0} and a payload of
 * little-endian numbers and strings ({u32 length, bytes, NUL}); all but the
 * hello begin with the job and the attempt they are about.  Both sides begin
 * with a hello, which holds the version: they may be of different builds one
 * day, when the supervisor outlives the daemon.
 *
 * Neither side trusts the other's bytes: what does not decode is -EBADMSG,
 * and ends the connection.
 */
#define SUP_VERSION 3
#define SUP_HEADER_BYTES 8
/* A request line is at most 1 MiB; argv, env and stdin come from one. */
#define SUP_MAX_BYTES (4u * 1024 * 1024)
/* All but a start are shorter than this, header included. */
#define SUP_SMALL_BYTES 160
#define SUP_STRINGS_MAX 200000
#define SUP_BOOT_ID_BYTES 40

enum msg_type {
	SUP_NONE,
	SUP_HELLO,   /* both ways, first */
	SUP_START,   /* daemon: run this */
	SUP_KILL,    /* daemon: end its tree, politely until grace is over; again = sooner */
	SUP_ACK,     /* daemon: I have seen the grew, tell me of the next */
	SUP_STARTED, /* it runs, and has for a moment: most are over before that, and say nothing */
	SUP_FAILED,  /* it could not be run; the last word about this attempt */
	SUP_GREW,    /* there is more output; the next only after an ack */
	SUP_STUCK,   /* SIGKILL has not helped for a while (told once) */
	SUP_EXITED,  /* its whole tree is gone; the last word about this attempt */
	N_SUP_TYPES
};

/* Where a start failed. */
enum msg_stage {
	STAGE_STDIN, /* laying out what it reads */
	STAGE_PIPE,
	STAGE_FORK,
	STAGE_SESSION, /* setsid */
	STAGE_STDIO,
	STAGE_LIMITS,
	STAGE_NICE,
	STAGE_CWD,
	STAGE_EXEC, /* finding the program, or execve */
	N_SUP_STAGES
};

/* What to run.  Decoded, the strings borrow from the bytes and the arrays are the message's own. */
struct msg_start {
	const char **argv; /* NULL-terminated, at least one */
	const char **env;  /* NULL-terminated, "NAME=VALUE", complete */
	const char *cwd;   /* absolute */
	const char *log_path;
	const char *stdin_text; /* NULL = /dev/null */
	size_t stdin_len;
	int64_t log_limit_bytes;
	int64_t output_wait_us; /* for what still comes after the main process has ended */
	int64_t cpu_s;		/* RLIMIT_CPU; 0 = ours */
	int64_t memory_bytes;	/* RLIMIT_AS; 0 = ours */
	uint32_t n_files;	/* RLIMIT_NOFILE, as far as ours goes */
	bool needs_files;	/* ... all of them or no start, and never more */
	uint32_t umask;
	int32_t nice; /* -20 ... 19, with has_nice */
	bool has_nice;
	bool no_new_privs;
};

struct msg_hello {
	uint32_t version;
	int32_t pid;
};

struct msg_started {
	int32_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat */
	char boot_id[SUP_BOOT_ID_BYTES];
};

struct msg_failed {
	uint32_t stage; /* enum msg_stage */
	int32_t error;	/* a positive errno */
};

enum {
	SUP_EXITED_LOST = 1 << 0,   /* whoever watched it was killed: the status is not known */
	SUP_EXITED_KILLED = 1 << 1, /* politeness did not do, SIGKILL was needed */
	SUP_EXITED_FREE = 1 << 2,   /* to the supervisor alone: its minder waits for a start */
};

struct msg_exited {
	uint32_t flags;
	int32_t exit_status;	    /* -1 = ended by a signal (or not known) */
	int32_t term_signal;	    /* 0 = none */
	uint32_t n_leftovers;	    /* processes that outlived the main one and were killed */
	int64_t user_us, system_us; /* of the whole tree */
	int64_t max_rss_bytes;	    /* of its largest process */
	int64_t output_bytes;	    /* all it wrote */
	int64_t dropped_bytes;	    /* of these, not kept */
};

struct msg {
	enum msg_type type;
	uint32_t attempt;
	int64_t job;
	union {
		struct msg_hello hello;
		struct msg_start start;
		int64_t kill_grace_us;
		struct msg_started started;
		struct msg_failed failed;
		int64_t grew_bytes;
		int32_t stuck_pid;
		struct msg_exited exited;
	};
};

/* Bytes on their way.  Zero-initialise; msgbuf_fini() when done. */
struct msgbuf {
	char *data; /* owns */
	size_t at;  /* the first byte not yet consumed */
	size_t len, size;
};
void msgbuf_fini(struct msgbuf *b);
void msgbuf_add(struct msgbuf *b, const void *data, size_t len);
/* Room for @n more bytes behind the last; count them with len += afterwards. */
char *msgbuf_reserve(struct msgbuf *b, size_t n);
static inline size_t msgbuf_pending(const struct msgbuf *b)
{
	return b->len - b->at;
}
/* Forget the first @n bytes. */
void msgbuf_consume(struct msgbuf *b, size_t n);

/*
 * Append @m.  0, or -E2BIG when it is longer than the other side takes (nothing is appended
 * then).
 */
int msg_encode(struct msgbuf *b, const struct msg *m);
/*
 * Take the first whole message of @b apart.  Returns its number of bytes (pass
 * them to msgbuf_consume() when done with it: strings borrow from them), 0
 * when more bytes are needed, or -EBADMSG.  msg_fini() afterwards.
 */
int msg_decode(const struct msgbuf *b, struct msg *ret);
/* The same of one packet that must be exactly one message. */
int msg_decode_packet(const void *data, size_t len, struct msg *ret);
void msg_fini(struct msg *m);

/* The word for people and error facts ("exec"); "unknown" for what is none. */
const char *msg_stage_name(unsigned stage);

#endif

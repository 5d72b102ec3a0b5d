/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_JOB_VIEWER_H
#define DAEMON_JOB_VIEWER_H

#include <stdbool.h>
#include <sys/types.h>

/* Who asks, as the socket says (R4.2), and what that means for other people's jobs (R4.4). */
struct viewer {
	uid_t uid;
	bool is_admin; /* a member of [access] admin_group; root need not be one */
};

/* All jobs of everybody: root and administrators. */
static inline bool viewer_sees_all(struct viewer v)
{
	return v.uid == 0 || v.is_admin;
}

/* Sees no secrets, whoever asked: they are in the replies of job.get and job.submit alone. */
#define VIEWER_WITHOUT_SECRETS ((struct viewer){ .uid = (uid_t)-1 })

/* May @v know of, and change, jobs of @owner? */
static inline bool viewer_may_see(struct viewer v, uid_t owner)
{
	return v.uid == owner || viewer_sees_all(v);
}

/* Environment, headers, bodies and passwords of @owner's jobs: his and root's business alone. */
static inline bool viewer_sees_secrets(struct viewer v, uid_t owner)
{
	return v.uid == owner || v.uid == 0;
}

#endif

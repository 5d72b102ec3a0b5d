/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/job/kind.h"

extern const struct kind kind_timer, kind_fetch, kind_worker, kind_gather, kind_sequence, kind_race;

const struct kind *const kinds[N_JOB_KINDS] = {
	[JOB_TIMER] = &kind_timer,
	[JOB_FETCH] = &kind_fetch,
	[JOB_WORKER] = &kind_worker,
	[JOB_GATHER] = &kind_gather,
	[JOB_SEQUENCE] = &kind_sequence,
	[JOB_RACE] = &kind_race,
};

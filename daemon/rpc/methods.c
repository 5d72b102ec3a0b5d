/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/rpc/methods/methods.h"

#include <stdlib.h>
#include <string.h>

/* Every method, by name.  The dispatcher searches this; a test sees to the order. */
const struct rpc_method *const rpc_methods[] = {
	&method_daemon_backup,	    &method_daemon_info,     &method_daemon_reload,
	&method_daemon_shutdown,    &method_daemon_stats,    &method_events_subscribe,
	&method_events_unsubscribe, &method_job_cancel,	     &method_job_get,
	&method_job_hold,	    &method_job_list,	     &method_job_output,
	&method_job_release,	    &method_job_remove,	     &method_job_retry,
	&method_job_submit,	    &method_job_submit_many, &method_job_update,
	&method_job_wait,	    &method_job_why,	     &method_queue_list,
	&method_queue_pause,	    &method_queue_resume,    &method_queue_set,
	&method_rpc_discover,
};
const size_t n_rpc_methods = sizeof(rpc_methods) / sizeof(rpc_methods[0]);

/* What the interface lists beyond these. */
static const char *const planned[] = {
	"schedule.add",	    "schedule.get",    "schedule.history", "schedule.list",
	"schedule.next",    "schedule.pause",  "schedule.remove",  "schedule.resume",
	"schedule.trigger", "schedule.update",
};

bool rpc_method_is_planned(const char *name)
{
	for (size_t i = 0; i < sizeof(planned) / sizeof(planned[0]); i++)
		if (!strcmp(planned[i], name))
			return true;
	return false;
}

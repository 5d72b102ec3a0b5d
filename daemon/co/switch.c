/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "daemon/co/switch.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(SWITCH_X86_64)

/*
 * What switch_in() of switch-x86_64.S pops: six registers and where to jump.
 * Then the stack pointer is where a call would have left it, 8 bytes off a
 * multiple of 16, at a return address of zero, which ends a backtrace.
 */
struct first_frame {
	void *r15, *r14, *r13, *r12, *rbx, *rbp;
	void (*entry)(void);
	void *return_address;
};

void switch_prepare(void **slot, char *lo, char *top, void (*entry)(void))
{
	struct first_frame *f = (struct first_frame *)(void *)top - 1;

	(void)lo;
	*f = (struct first_frame){ .entry = entry };
	*slot = f;
}

const char *switch_name(void)
{
	return "x86-64";
}

#elif defined(SWITCH_AARCH64)

/* What switch_in() of switch-aarch64.S loads, in its order. */
struct first_frame {
	uint64_t d8_to_d15[8];
	void (*x19)(void); /* switch_first jumps there */
	void *x20_to_x28[9];
	void *x29;
	void (*x30)(void);
};

void switch_first(void);

void switch_prepare(void **slot, char *lo, char *top, void (*entry)(void))
{
	struct first_frame *f = (struct first_frame *)(void *)top - 1;

	(void)lo;
	*f = (struct first_frame){ .x19 = entry, .x30 = switch_first };
	*slot = f;
}

const char *switch_name(void)
{
	return "aarch64";
}

#else

#include <ucontext.h>

static ucontext_t loop_context;
static int value_in;

/* The context takes about 1 KiB at the top of the coroutine's own stack. */
void switch_prepare(void **slot, char *lo, char *top, void (*entry)(void))
{
	uintptr_t at = ((uintptr_t)top - sizeof(ucontext_t)) & ~(uintptr_t)63;
	ucontext_t *context = (ucontext_t *)at;
	int r = getcontext(context);

	assert(r == 0);
	context->uc_stack.ss_sp = lo;
	context->uc_stack.ss_size = (size_t)((char *)context - lo);
	context->uc_link = NULL;
	makecontext(context, entry, 0);
	*slot = context;
}

void switch_in(void **slot, int value)
{
	int r;

	value_in = value;
	r = swapcontext(&loop_context, *slot);
	assert(r == 0);
}

int switch_out(void **slot)
{
	int r = swapcontext(*slot, &loop_context);

	assert(r == 0);
	return value_in;
}

const char *switch_name(void)
{
	return "ucontext";
}

#endif

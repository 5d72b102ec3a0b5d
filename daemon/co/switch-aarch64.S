/* SPDX-License-Identifier: MIT */
#include "daemon/co/switch.h"

#ifdef SWITCH_AARCH64

/*
 * Procedure call standard: x19 to x28, the frame pointer x29, the link
 * register x30 and the low halves of v8 to v15 belong to the caller.
 *
 * "br" instead of "ret": a return would be predicted to go to whoever called
 * last, which after a switch is always wrong.  A branch through x17 may also
 * land on "bti c", the first instruction of a function.  Back in the middle of
 * a caller there is no landing mark, so this file has, on purpose, no note
 * that it is fit for BTI; the linker then leaves it off for the program.
 */
#define FRAME 160
#define LANDING hint #34 /* bti c */

	.macro keep_all
	sub	sp, sp, #FRAME
	.cfi_adjust_cfa_offset FRAME
	stp	d8, d9, [sp, #0]
	stp	d10, d11, [sp, #16]
	stp	d12, d13, [sp, #32]
	stp	d14, d15, [sp, #48]
	stp	x19, x20, [sp, #64]
	stp	x21, x22, [sp, #80]
	stp	x23, x24, [sp, #96]
	stp	x25, x26, [sp, #112]
	stp	x27, x28, [sp, #128]
	stp	x29, x30, [sp, #144]
	.cfi_rel_offset x29, 144
	.cfi_rel_offset x30, 152
	.endm

	.macro restore_all_and_branch
	ldp	x29, x30, [sp, #144]
	.cfi_restore x29
	.cfi_restore x30
	ldp	d8, d9, [sp, #0]
	ldp	d10, d11, [sp, #16]
	ldp	d12, d13, [sp, #32]
	ldp	d14, d15, [sp, #48]
	ldp	x19, x20, [sp, #64]
	ldp	x21, x22, [sp, #80]
	ldp	x23, x24, [sp, #96]
	ldp	x25, x26, [sp, #112]
	ldp	x27, x28, [sp, #128]
	add	sp, sp, #FRAME
	.cfi_adjust_cfa_offset -FRAME
	mov	x17, x30
	br	x17
	.endm

	.text

	.globl	switch_in
	.hidden	switch_in
	.type	switch_in, %function
	.p2align 6
switch_in:
	.cfi_startproc
	LANDING
	keep_all
	mov	x9, sp
	adrp	x10, loop_sp
	str	x9, [x10, #:lo12:loop_sp]
	ldr	x9, [x0]
	mov	sp, x9
	mov	w0, w1
	restore_all_and_branch
	.cfi_endproc
	.size	switch_in, . - switch_in

	.globl	switch_out
	.hidden	switch_out
	.type	switch_out, %function
	.p2align 6
switch_out:
	.cfi_startproc
	LANDING
	keep_all
	mov	x9, sp
	str	x9, [x0]
	adrp	x10, loop_sp
	ldr	x9, [x10, #:lo12:loop_sp]
	mov	sp, x9
	restore_all_and_branch
	.cfi_endproc
	.size	switch_out, . - switch_out

/*
 * Where a new coroutine begins: its function is in x19.  No caller: a
 * backtrace ends here.
 */
	.globl	switch_first
	.hidden	switch_first
	.type	switch_first, %function
	.p2align 4
switch_first:
	.cfi_startproc
	.cfi_undefined x30
	LANDING
	mov	x29, xzr
	mov	x30, xzr
	mov	x17, x19
	br	x17
	.cfi_endproc
	.size	switch_first, . - switch_first

	.local	loop_sp
	.comm	loop_sp, 8, 8

#endif

	.section .note.GNU-stack, "", %progbits

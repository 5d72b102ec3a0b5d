# SPDX-License-Identifier: MIT
# Completion of awaitctl for bash. What there is to choose from comes from
# awaitctl itself: its help lists commands and options, its list the jobs.

_awaitctl_options()
{
	"$1" "${@:2}" --help 2>/dev/null |
		sed -nE 's/^ +(-[a-zA-Z], )?--(\[no-\])?([a-z-]+).*/--\3/p'
}

_awaitctl_commands()
{
	"$1" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# The ids of jobs, by states; the first field of each line but the first.
_awaitctl_ids()
{
	"$1" list --limit 100 --reverse --state "$2" 2>/dev/null | sed -n '2,$s/\t.*//p'
}

_awaitctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command='' kind='' words='' i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | -f | --file) i=$((i + 1)) ;;
		-*) ;;
		*)
			if [[ -z $command ]]; then
				command=${COMP_WORDS[i]}
			elif [[ -z $kind ]]; then
				kind=${COMP_WORDS[i]}
			fi
			;;
		esac
	done

	case $prev in
	--socket | --output | --stdin-file | -f | --file)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--cwd)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--state) words='waiting running stopping done' ;;
	--outcome) words='succeeded failed timed_out cancelled skipped lost' ;;
	--kind) words='timer fetch worker' ;;
	--stream) words='both stdout stderr' ;;
	--on-lost) words='retry fail' ;;
	esac

	if [[ -z $words ]]; then
		if [[ $cur == -* && $command == @(submit|run) && -n $kind ]]; then
			words=$(_awaitctl_options "$program" "$command" "$kind")
		elif [[ $cur == -* ]]; then
			words=$(_awaitctl_options "$program" $command)
		else
			case $command in
			'') words=$(_awaitctl_commands "$program") ;;
			submit | run)
				if [[ -z $kind ]]; then
					words='worker fetch timer'
				elif [[ $kind == worker ]]; then
					mapfile -t COMPREPLY < <(compgen -c -- "$cur")
					return
				fi
				;;
			cancel | wait) words=$(_awaitctl_ids "$program" waiting,running,stopping) ;;
			remove) words=$(_awaitctl_ids "$program" 'done') ;;
			show | output) words=$(_awaitctl_ids "$program" waiting,running,stopping,done) ;;
			queue) [[ -z $kind ]] && words='list set pause resume' ;;
			esac
		fi
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _awaitctl awaitctl

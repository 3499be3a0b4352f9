#compdef kubectl-emqx
# Completion of kubectl-emqx in zsh: source <(kubectl-emqx completion zsh), or a file _kubectl_emqx in a folder of fpath.
_kubectl_emqx() {
    local line directive=0
    local -a typed candidates options
    typed=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    for line in "${(@f)$("${(Q)words[1]}" __complete "${(@)typed}" 2>/dev/null)}"; do
        if [[ $line == :<-> ]]; then
            directive=${line#:}
        elif [[ $line == *$'\t'* ]]; then
            candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        elif [[ -n $line ]]; then
            candidates+=("${line//:/\\:}")
        fi
    done
    # The name of a flag before its value stays.
    [[ $PREFIX == --*=* ]] && compset -P '--[^=]#='
    (( directive & 2 )) && options=(-S '')
    if (( ${#candidates} )); then
        _describe 'completion' candidates $options
    elif (( ! (directive & 4) )); then
        _files
    fi
}
if [[ ${funcstack[1]} == _kubectl_emqx ]]; then
    _kubectl_emqx "$@"
else
    compdef _kubectl_emqx kubectl-emqx
fi

# Completion of kubectl-emqx in fish: kubectl-emqx completion fish | source
function __kubectl_emqx_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l answer (command $words[1] __complete $words[2..-1] "$word" 2>/dev/null)
    test (count $answer) -gt 0; or return
    # The name of a flag before its value stays.
    set -l flag (string match -r -- '^--[^=]+=' $word)
    for line in $answer[1..-2]
        echo "$flag$line"
    end
    if test (count $answer) -eq 1 -a "$answer[-1]" = :0
        __fish_complete_path (string replace -r -- '^--[^=]+=' '' $word) | string replace -r '^' -- "$flag"
    end
end
complete -c kubectl-emqx -f -a '(__kubectl_emqx_complete)'

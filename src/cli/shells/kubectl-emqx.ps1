# Completion of kubectl-emqx in PowerShell: kubectl-emqx completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName kubectl-emqx -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { "$_" } | Select-Object -Skip 1)
    if ($wordToComplete -eq '') {
        # An empty argument is dropped on its way to a program before PowerShell 7.3, unless it is quoted twice.
        $words += if ($PSVersionTable.PSVersion -lt [version]'7.3.0' -or
            $PSNativeCommandArgumentPassing -eq 'Legacy') { '""' } else { '' }
    }
    $answer = @(& kubectl-emqx __complete @words 2>$null)
    # The name of a flag before its value stays.
    $flag = if ($wordToComplete -match '^--[^=]+=') { $Matches[0] } else { '' }
    foreach ($line in $answer) {
        if ($line -match '^:\d+$') { continue }
        $value, $about = $line -split "`t", 2
        if (-not $about) { $about = $value }
        [System.Management.Automation.CompletionResult]::new("$flag$value", $value, 'ParameterValue', $about)
    }
}

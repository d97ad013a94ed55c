"""Catalogue of metrics: definition, unit, formula, which way is better, source.

Legend of the formulas: μ the behaviour policy that acted, π the policy after the update, anchor the policy
at the start of the update (μ itself at lag 0), ρ = π/ref the importance ratio of a sample's action (ref is μ
or the anchor), s a state of the batch, e an epoch or an episode, A an advantage, V the value function, R a
value target, L the surrogate, θ the parameters, ε a clip range, B = T·N the samples of one update. Figures
of behaviour/ and update/ are taken after the update, on its whole batch, in float64.

`rlcli explain`, the documentation and the reports read this; no metric is defined anywhere else.
"""

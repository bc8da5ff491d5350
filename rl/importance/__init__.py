"""Step importance by resampling: how much each line of a trace changes what the policy answers in the end."""

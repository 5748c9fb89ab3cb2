"""The Sweep page: a form that plans and starts one, the list of them, and the results of one."""

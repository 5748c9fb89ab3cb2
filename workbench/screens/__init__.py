"""What the pages draw: a module a page, a folder where a page needs more than one."""

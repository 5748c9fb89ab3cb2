"""The systems that papers describe, each as a module that reads like its paper."""

"""A pretended world for the real rules: programs that die, slots that tear, disks that fill, keepers that fall."""
